"""Weights in int8 whose outputs stay near those in float32."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.graph import Graph
from export.weight_rounding import (
    LARGEST,
    InputMoments,
    round_convolutions,
    round_weights,
    sample_inputs,
)


def like_features(rng, groups, count, size):
    """Inputs that depend on each other and are not centred, as after a ReLU, [G, M, D]."""
    mixed = rng.normal(size=(groups, count, 3)) @ rng.normal(size=(groups, 3, size))
    return np.maximum(mixed + 0.1 * rng.normal(size=(groups, count, size)), 0).astype(np.float32)


def nearest(weights):
    scales = np.abs(weights).reshape(len(weights), -1).max(axis=1) / LARGEST
    scales = scales.reshape(-1, 1, 1, 1)
    return np.rint(weights / scales) * scales


def moments_of(inputs):
    moments = InputMoments()
    for part in np.array_split(inputs, 3, axis=1):
        moments.add(part)
    return moments


@pytest.mark.parametrize("depthwise", [False, True])
def test_outputs_change_far_less_than_with_the_nearest_steps(rng, depthwise):
    groups, size = (6, 9) if depthwise else (1, 54)
    weights = rng.normal(size=(6, size // 9, 3, 3)).astype(np.float32)
    bias = rng.normal(size=6).astype(np.float32)
    inputs, new = np.split(like_features(rng, groups, 1000, size), 2, axis=1)

    def outputs(weights, bias):
        rows = weights.reshape(groups, 6 // groups, size)
        return np.einsum("god,gmd->mgo", rows, new).reshape(500, 6) + bias

    rounded = round_weights(weights, bias, moments_of(inputs))
    wanted = outputs(weights, bias)
    ours = outputs(rounded.steps * rounded.scales[:, None, None, None], rounded.bias)
    plain = outputs(nearest(weights), bias)
    assert np.abs(ours - wanted).mean() < 0.6 * np.abs(plain - wanted).mean()
    assert rounded.steps.dtype == np.int8
    assert np.abs(rounded.steps.astype(int)).max() <= LARGEST


def test_the_bias_takes_the_mean_error(rng):
    weights = rng.normal(size=(4, 5, 1, 1)).astype(np.float32)
    inputs = like_features(rng, 1, 300, 5) + 2
    rounded = round_weights(weights, np.zeros(4, np.float32), moments_of(inputs))
    values = (rounded.steps * rounded.scales[:, None, None, None]).reshape(4, 5)
    error = inputs[0] @ (values - weights.reshape(4, 5)).T + rounded.bias
    np.testing.assert_allclose(error.mean(axis=0), 0, atol=1e-5)


def test_an_output_without_weights_keeps_its_bias(rng):
    weights = rng.normal(size=(3, 4, 1, 1)).astype(np.float32)
    weights[1] = 0
    bias = np.arange(3, dtype=np.float32)
    rounded = round_weights(weights, bias, moments_of(like_features(rng, 1, 50, 4)))
    assert not rounded.steps[1].any()
    assert rounded.bias[1] == bias[1]
    assert np.all(rounded.scales > 0)


def convolution(weights, **attributes):
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["x"], "cast", to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["x"], ["maps"], "turn", perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["maps", "w", "b"], ["y"], "conv", **attributes),
        ],
        "one convolution",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, [None, 8, 8, 4])],
        [helper.make_empty_tensor_value_info("y"), helper.make_empty_tensor_value_info("maps")],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.zeros(len(weights), np.float32), "b"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_operatorsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("groups", [1, 4])
def test_sampled_inputs_times_weights_are_outputs_of_the_convolution(rng, groups):
    attributes = {"strides": [2, 2], "pads": [0, 1, 1, 0], "group": groups}
    weights = rng.normal(size=(4, 4 // groups, 3, 3)).astype(np.float32)
    images = rng.integers(0, 256, size=(2, 8, 8, 4), dtype=np.uint8)
    session = onnxruntime.InferenceSession(convolution(weights, **attributes).SerializeToString())
    wanted, maps = session.run(None, {"images": images})
    inputs = sample_inputs(maps, [3, 3], [2, 2], [0, 1, 1, 0], groups, 40, rng)
    rows = weights.reshape(groups, 4 // groups, -1)
    found = np.einsum("god,gmd->mgo", rows, inputs).reshape(80, 4)
    places = wanted.transpose(0, 2, 3, 1).reshape(2, -1, 4)  # [N, places, O]
    for number, output in enumerate(found):
        distances = np.abs(places[number // 40] - output).max(axis=1)
        assert distances.min() < 1e-2


def test_only_the_named_convolutions_are_rounded(rng):
    weights = rng.normal(size=(5, 4, 3, 3)).astype(np.float32)
    graph = Graph(convolution(weights))
    images = rng.integers(0, 256, size=(6, 8, 8, 4), dtype=np.uint8)
    assert set(round_convolutions(graph, ["conv"], images)) == {"conv"}
    assert round_convolutions(graph, ["cast"], images) == {}


def test_convolutions_of_several_groups_and_weights_of_two_readers_are_passed_over(rng):
    images = rng.integers(0, 256, size=(6, 8, 8, 4), dtype=np.uint8)
    grouped = rng.normal(size=(4, 2, 3, 3)).astype(np.float32)
    assert round_convolutions(Graph(convolution(grouped, group=2)), ["conv"], images) == {}
    model = convolution(rng.normal(size=(4, 4, 1, 1)).astype(np.float32))
    second = onnx.NodeProto()
    second.CopyFrom(model.graph.node[2])
    second.name, second.output[0] = "again", "z"
    model.graph.node.append(second)
    assert round_convolutions(Graph(model), ["conv", "again"], images) == {}
