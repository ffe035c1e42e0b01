"""What only maps need is left out of a model by its bytes alone."""

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.utils import Extractor

from export.runtime import DECISIONS, Scorer, without_other_outputs


@pytest.fixture(scope="module")
def content(model_path):
    return model_path.read_bytes()


@pytest.mark.parametrize("outputs", [DECISIONS, ("score",), ("anomaly_map", "score")])
def test_the_nodes_are_those_that_onnx_itself_would_keep(content, outputs):
    ours = onnx.load_from_string(without_other_outputs(content, outputs))
    onnx.checker.check_model(ours, full_check=True)
    theirs = Extractor(onnx.load_from_string(content)).extract_model(["images"], list(outputs))
    assert [node.name for node in ours.graph.node] == [node.name for node in theirs.graph.node]
    assert {output.name for output in ours.graph.output} == set(outputs)
    used = {name for node in ours.graph.node for name in node.input}
    assert {constant.name for constant in ours.graph.initializer} <= used
    whole = onnx.load_from_string(content)
    assert ours.metadata_props == whole.metadata_props
    assert len(ours.graph.node) < len(whole.graph.node)
    assert len(without_other_outputs(content, [o.name for o in whole.graph.output])) == len(content)


def test_scores_are_the_same_with_and_without_maps(model_path, images):
    scorer = Scorer(model_path)
    alone = scorer.score(images)
    beside = scorer.score(images, outputs=(*DECISIONS, "anomaly_map"))
    for name in DECISIONS:
        np.testing.assert_array_equal(alone[name], beside[name])


def test_a_graph_within_a_node_may_use_anything_so_such_a_model_stays_whole():
    def branch(value):
        constant = helper.make_tensor("constant", TensorProto.FLOAT, [1], [value])
        node = helper.make_node("Add", ["given", "constant"], ["sum"])
        output = helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1])
        return helper.make_graph([node], "branch", [], [output], [constant])

    node = helper.make_node(
        "If", ["which"], ["score"], then_branch=branch(1.0), else_branch=branch(2)
    )
    other = helper.make_node("Identity", ["given"], ["other"])
    inputs = [
        helper.make_tensor_value_info("which", TensorProto.BOOL, []),
        helper.make_tensor_value_info("given", TensorProto.FLOAT, [1]),
    ]
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("score", "other")]
    graph = helper.make_graph([other, node], "graph", inputs, outputs)
    model = helper.make_model(graph).SerializeToString()
    assert without_other_outputs(model, ("score",)) == model


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_models_come_back_as_bytes_for_onnx_runtime_to_judge(content, data):
    begin = data.draw(st.integers(0, len(content)))
    damage = data.draw(st.binary(max_size=40))
    damaged = content[:begin] + damage + content[begin + data.draw(st.integers(0, 60)) :]
    assert isinstance(without_other_outputs(damaged, DECISIONS), bytes)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_model_stay_as_they_are_or_become_shorter(content):
    assert len(without_other_outputs(content, DECISIONS)) <= len(content) + 1
