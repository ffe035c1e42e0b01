"""Steps on the pixels are folded, and grey images are seen once."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.fold_input import fold_affine_steps, merge_equal_channels, widen_scalars
from export.graph import Graph


def model_of(nodes, outputs, channels=1, **constants):
    """A model of `images`, uint8 [N, 6, 6, C], whose constants are float32."""
    tensors = [
        numpy_helper.from_array(np.asarray(value, np.float32), name)
        for name, value in constants.items()
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 6, 6, channels])
    shape = ["N", None, None, None]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in outputs]
    cast = helper.make_node("Cast", ["images"], ["x"], "cast", to=TensorProto.FLOAT)
    graph = helper.make_graph([cast, *nodes], "g", [images], results, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def step(op_type, *inputs, output):
    return helper.make_node(op_type, list(inputs), [output], output)


def run(model, images):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"images": images})


def check_equal(model, rewrite, rng):
    """Rewrites the model and compares both; returns the types of its nodes."""
    channels = model.graph.input[0].type.tensor_type.shape.dim[3].dim_value
    images = rng.integers(0, 256, (3, 6, 6, channels), dtype=np.uint8)
    expected = run(model, images)
    graph = Graph(model)
    rewrite(graph)
    rewritten = graph.finish()
    for ours, wanted in zip(run(rewritten, images), expected, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())
    return [node.op_type for node in rewritten.graph.node]


def two_networks():
    """What the generator and the encoder do: one chain of two steps, and one of six from within."""
    return [
        step("Mul", "x", "a", output="m"),
        step("Sub", "m", "b", output="generator"),
        step("Add", "m", "c", output="s"),
        step("Div", "s", "d", output="t"),
        step("Sub", "t", "e", output="u"),
        step("Mul", "f", "u", output="encoder"),
        step("Relu", "generator", output="y"),
        step("Relu", "encoder", output="z"),
    ]


def test_a_long_chain_becomes_two_steps_and_a_short_one_stays(rng):
    model = model_of(two_networks(), ["y", "z"], a=0.01, b=1, c=0.25, d=2, e=0.4, f=1.9)
    types = check_equal(model, fold_affine_steps, rng)
    assert sorted(types) == ["Add", "Cast", "Mul", "Mul", "Relu", "Relu", "Sub"]


def test_a_step_that_is_a_result_is_kept(rng):
    nodes = [
        step("Mul", "x", "a", output="p"),
        step("Add", "p", "b", output="q"),
        step("Sub", "q", "b", output="r"),
        step("Mul", "r", "a", output="s"),
    ]
    types = check_equal(model_of(nodes, ["q", "s"], a=0.5, b=3), fold_affine_steps, rng)
    assert len(types) == 1 + 2 + 2


@pytest.mark.parametrize("op_type", ["Sub", "Div"])
def test_a_constant_on_the_left_is_no_step(rng, op_type):
    nodes = [
        step("Add", "x", "a", output="p"),
        step(op_type, "a", "p", output="q"),
        step("Mul", "q", "a", output="r"),
        step("Mul", "r", "a", output="s"),
    ]
    types = check_equal(model_of(nodes, ["s"], a=2), fold_affine_steps, rng)
    assert len(types) == 5


def convolution(rng, sources, channels=1, groups=1):
    nodes = [
        helper.make_node("Concat", sources, ["three"], "join", axis=3),
        helper.make_node("Transpose", ["three"], ["first"], "turn", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "w", "b"], ["y"], "conv", pads=[0, 0, 1, 1]),
    ]
    weights = rng.normal(size=(4, 3, 3, 3))
    return model_of(nodes, ["y"], channels, w=weights, b=np.arange(4), other=np.zeros((3, 6, 6, 1)))


def test_three_equal_channels_are_read_once(rng):
    model = convolution(rng, ["x", "x", "x"])
    types = check_equal(model, merge_equal_channels, rng)
    assert types == ["Cast", "Reshape", "Conv"]


def test_different_channels_stay(rng):
    types = check_equal(convolution(rng, ["x", "other", "x"]), merge_equal_channels, rng)
    assert "Concat" in types


def test_scalars_on_maps_of_one_channel_get_four_dimensions(rng):
    nodes = [step("Mul", "x", "a", output="p"), step("Sub", "a", "p", output="q")]
    model = model_of(nodes, ["q"], a=1.5)
    graph = Graph(model)
    widen_scalars(graph)
    constants = [graph.constant(name) for node in graph.nodes("Mul", "Sub") for name in node.input]
    assert [value.shape for value in constants if value is not None] == [(1, 1, 1, 1)] * 2
    check_equal(model_of(nodes, ["q"], a=1.5), widen_scalars, rng)


def test_scalars_on_maps_of_three_channels_stay(rng):
    graph = Graph(model_of([step("Mul", "x", "a", output="y")], ["y"], channels=3, a=1.5))
    widen_scalars(graph)
    assert graph.nodes("Mul")[0].input[1] == "a"
