"""Int8: faster graphs with a threshold of their own."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.fast_graph import fold_scales
from export.graph import Graph
from export.keep_float import MAX_TRIES
from export.onnx_model import convert
from export.quantize import agreement, quantize, refit_threshold, rests_on_others
from export.quantizer import _give_weights_and_biases, share_equal_constants
from export.runtime import Scorer
from tests.export.conftest import make_images


@pytest.fixture(scope="module")
def quantized(detector, splits, model_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "model.int8.onnx"
    floating = Scorer(model_path)
    quantize(convert(detector), floating.metadata, splits.train, splits.validation, floating, path)
    return path


@pytest.fixture(scope="module")
def uneven(detector):
    """The tiny run's plain graph, in which one channel is far larger than all others.

    A channel is multiplied by 3000 in one step of the decoder and divided by it in the next, with
    a homogeneous activation between: the same function in float32. With one range for the whole
    tensor, int8 has no steps left for the other channels.
    """
    graph = Graph(convert(detector))
    fold_scales(graph)
    first, second = graph.nodes("ConvTranspose")[1:3]
    joined = graph.producer(second.input[0])
    activation = graph.only_reader(first.output[0])
    assert (joined.op_type, activation.op_type) == ("Concat", "Relu")
    weights, bias = (graph.constant(name).copy() for name in first.input[1:3])
    later = graph.constant(second.input[1]).copy()
    before = list(joined.input).index(activation.output[0])
    channel = sum(graph.shape(name)[1] for name in joined.input[:before])
    weights[:, 0], bias[0], later[channel] = (
        weights[:, 0] * 3e3,
        bias[0] * 3e3,
        later[channel] / 3e3,
    )
    first.input[1], first.input[2] = (graph.add_constant(v, "uneven") for v in (weights, bias))
    second.input[1] = graph.add_constant(later, "uneven")
    return graph.finish(), joined.name


def has_vnni():
    """Whether int8 products are added exactly here; without VNNI, ONNX Runtime saturates them."""
    return "vnni" in Path("/proc/cpuinfo").read_text()


def test_operators_that_lose_the_accuracy_stay_in_float(
    uneven, detector, splits, model_path, tmp_path
):
    plain, guilty = uneven
    floating = Scorer(model_path)
    path = tmp_path / "model.int8.onnx"
    made = quantize(plain, floating.metadata, splits.train, splits.validation, floating, path)
    assert not made.throughout.holds
    assert made.chosen.excess < 0.25 * made.throughout.excess
    assert made.chosen.holds or not has_vnni()
    assert guilty in made.kept_float
    assert 0.5 <= made.int8_share < 1
    assert 1 < made.tries <= MAX_TRIES
    ours, floats = (Scorer(file).score(splits.test.images)["score"] for file in (path, model_path))
    assert np.corrcoef(ours, floats)[0, 1] > 0.98


def test_the_int8_model_ranks_images_like_the_float_one(quantized, model_path, splits):
    ours, floats = (
        Scorer(path).score(splits.test.images)["score"] for path in (quantized, model_path)
    )
    assert np.corrcoef(ours, floats)[0, 1] > 0.98
    assert not np.array_equal(ours, floats)


def test_no_transposed_convolution_is_left_but_the_last(quantized):
    operators = [node.op_type for node in onnx.load(quantized).graph.node]
    assert operators.count("ConvTranspose") == 1
    assert "QuantizeLinear" in operators


def test_threshold_and_normal_scores_are_those_of_int8(detector, splits, model_path, tmp_path):
    """The tiny run was fitted to these images, so int8 scores them anew."""
    validation = make_images(120, seed=1)
    path, floating = tmp_path / "model.int8.onnx", Scorer(model_path)
    quantize(convert(detector), floating.metadata, splits.train, validation, floating, path)
    scorer = Scorer(path)
    results = scorer.score(validation.images)
    assert np.array_equal(results["is_anomaly"], results["score"] > np.float32(scorer.threshold))
    normal = np.sort(results["score"][~validation.is_anomaly])
    np.testing.assert_allclose(json.loads(scorer.metadata["normal_scores"]), normal, atol=1e-6)


def test_scores_of_images_that_int8_does_not_see_move_with_the_threshold(quantized, model_path):
    floating, scorer = Scorer(model_path), Scorer(quantized)
    moved = scorer.normal_scores - floating.normal_scores
    np.testing.assert_allclose(moved, scorer.threshold - floating.threshold, atol=1e-5)


class Float32:
    """As much of a scorer as the threshold's fit looks at."""

    def __init__(self, threshold, normal_scores, **metadata):
        self.threshold, self.normal_scores = threshold, np.array(normal_scores)
        self.metadata = metadata


def test_a_conformal_threshold_keeps_its_rank():
    scores, is_anomaly = np.array([0.1, 0.4, 0.2, 9.0]), np.array([False, False, False, True])
    decided = {"is_anomaly": np.array([False, True, False, True])}
    assert refit_threshold(scores, decided, is_anomaly, Float32(2.0, [1, 2, 3]), False) == 0.2


def test_any_other_threshold_repeats_the_decisions():
    scores = np.array([0.1, 0.4, 0.2, 0.9], np.float32)
    decided = {"is_anomaly": np.array([False, True, False, True])}
    scorer = Float32(2.5, [1.0, 2.0])
    threshold = refit_threshold(scores, decided, decided["is_anomaly"], scorer, others=False)
    assert np.array_equal(scores > threshold, decided["is_anomaly"])


def test_a_recalibrated_threshold_far_above_all_scores_moves_as_they_do():
    before = np.array([0.1, 0.2, 0.3], np.float32)
    decided = {"score": before, "is_anomaly": np.zeros(3, bool)}
    scorer = Float32(5.0, [4.0, 5.0, 6.0], recalibrated="{}")
    after = before + np.array([0.02, 0.01, -0.01], np.float32)
    assert rests_on_others(scorer, np.zeros(3, bool))
    threshold = refit_threshold(after, decided, np.zeros(3, bool), scorer, others=True)
    assert threshold == pytest.approx(5.01)


def test_a_threshold_by_more_images_than_validation_has_moves_as_scores_do():
    """Training images count in the threshold of few photos; int8 does not score them again."""
    before = np.array([0.1, 0.2, 0.3], np.float32)
    decided = {"score": before, "is_anomaly": np.zeros(3, bool)}
    scorer = Float32(0.5, np.linspace(0, 0.6, 42).tolist())
    assert rests_on_others(scorer, np.zeros(3, bool))
    threshold = refit_threshold(before + np.float32(0.01), decided, np.zeros(3, bool), scorer, True)
    assert threshold == pytest.approx(0.51)


@pytest.mark.parametrize("rank", [500, None])
def test_a_try_that_is_measured_on_a_sample_repeats_the_decisions(rng, rank):
    """Stretched scores decide alike; a threshold moved by the median change would not."""
    before = np.sort(rng.normal(size=600)).astype(np.float32)
    threshold = float(before[rank]) if rank else float(before[500:502].mean())
    scorer = Float32(threshold, before.tolist())
    others = rests_on_others(scorer, np.zeros(600, bool))
    sample = before[::3]
    decided = {"score": sample, "is_anomaly": sample > threshold}
    found = agreement(1.3 * sample, decided, np.zeros(200, bool), scorer, others)
    assert found.differing == 0


def test_shared_weights_are_rounded_apart_and_stored_once_where_they_stay_equal(rng):
    """An encoder that sees an image at two sizes is in the graph twice."""
    size = [1, 8, 8, 8]
    weights = numpy_helper.from_array(rng.normal(size=(8, 8, 3, 3)).astype(np.float32), "weights")
    nodes = [
        helper.make_node("Conv", [name, "weights"], [f"{name}_out"], name, pads=[1, 1, 1, 1])
        for name in ("large", "small")
    ]
    inputs = [helper.make_tensor_value_info(node.name, TensorProto.FLOAT, size) for node in nodes]
    outputs = [helper.make_tensor_value_info(n.output[0], TensorProto.FLOAT, size) for n in nodes]
    made = helper.make_graph(nodes, "twice", inputs, outputs, [weights])
    graph = Graph(helper.make_model(made))
    _give_weights_and_biases(graph)
    first, second = graph.nodes("Conv")
    assert first.input[1] != second.input[1]
    assert first.input[2] != second.input[2]
    np.testing.assert_array_equal(*(graph.constant(node.input[1]) for node in (first, second)))
    model = graph.finish()
    share_equal_constants(model)
    onnx.checker.check_model(model, full_check=True)
    first, second = model.graph.node
    assert first.input[1] == second.input[1]
    assert first.input[2] != second.input[2]  # too small to be worth it
    assert len(model.graph.initializer) == 3
