"""The rewritten graphs compute what the plain ones compute."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from export.fast_graph import (
    fold_scales,
    make_small_maps_dense,
    speed_up,
    split_transposed_convolutions,
)
from export.graph import Graph
from export.onnx_model import convert


def model_of(op_type, source, weights, extra=(), constants=(), **attributes):
    """A model of one convolution (and what follows) on float32 [N, C, h, w]."""
    nodes = [helper.make_node(op_type, ["x", "w", "b"], ["y0"], "convolution", **attributes)]
    for i, (kind, *inputs) in enumerate(extra):
        nodes.append(helper.make_node(kind, [f"y{i}", *inputs], [f"y{i + 1}"], f"{kind}{i}"))
    channels = weights.shape[0] if op_type == "Conv" else weights.shape[1]
    values = {"w": weights, "b": np.linspace(-1, 1, channels), **dict(constants)}
    tensors = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in values.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *source])
    y = helper.make_tensor_value_info(f"y{len(extra)}", TensorProto.FLOAT, ["N", None, None, None])
    graph = helper.make_graph(nodes, "g", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(model, x):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: x})


def check_equal(model, rewrite, *, gone):
    """Rewrites the model and compares both on random input."""
    rng = np.random.default_rng(0)
    sizes = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    x = rng.normal(size=(3, *sizes)).astype(np.float32)
    expected = run(model, x)[0]
    graph = Graph(model)
    rewrite(graph)
    rewritten = graph.finish()
    assert gone not in {node.op_type for node in rewritten.graph.node}
    np.testing.assert_allclose(run(rewritten, x)[0], expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))
def test_a_split_transposed_convolution_is_exact(inputs, outputs, height, width):
    weights = np.random.default_rng(1).normal(size=(inputs, outputs, 4, 4))
    model = model_of(
        "ConvTranspose", (inputs, height, width), weights, [("Relu",)], strides=[2, 2], pads=[1] * 4
    )
    check_equal(
        model,
        lambda graph: split_transposed_convolutions(graph, graph.nodes("ConvTranspose")),
        gone="ConvTranspose",
    )


@pytest.mark.parametrize("activation", ["Relu", "LeakyRelu", "Tanh"])
@pytest.mark.parametrize(
    ("op_type", "side", "kernel", "stride"),
    [("Conv", 4, 4, 2), ("Conv", 2, 3, 1), ("ConvTranspose", 2, 4, 2)],
)
def test_a_dense_convolution_is_exact(op_type, side, kernel, stride, activation):
    weights = np.random.default_rng(1).normal(size=(3, 3, kernel, kernel))
    model = model_of(
        op_type, (3, side, side), weights, [(activation,)], strides=[stride] * 2, pads=[1] * 4
    )
    check_equal(model, make_small_maps_dense, gone=op_type)


def test_a_convolution_of_larger_maps_is_left_alone():
    weights = np.ones((3, 3, 4, 4))
    model = model_of("Conv", (3, 16, 16), weights, strides=[2, 2], pads=[1] * 4)
    graph = Graph(model)
    make_small_maps_dense(graph)
    assert [node.op_type for node in graph.nodes()] == ["Conv"]


@pytest.mark.parametrize("op_type", ["Conv", "ConvTranspose"])
def test_scale_and_shift_are_folded_into_the_weights(op_type):
    rng = np.random.default_rng(0)
    constants = {name: rng.normal(size=(1, 3, 1, 1)) for name in ("scale", "shift")}
    model = model_of(
        op_type,
        (3, 5, 5),
        rng.normal(size=(3, 3, 4, 4)),
        [("Mul", "scale"), ("Add", "shift")],
        constants.items(),
    )
    check_equal(model, fold_scales, gone="Mul")


def test_the_whole_detector_keeps_its_scores(detector, images):
    plain = convert(detector)
    expected = run(plain, images)
    fast = speed_up(onnx.ModelProto.FromString(plain.SerializeToString()))
    assert len(fast.graph.node) < len(plain.graph.node) + 20
    for ours, theirs in zip(run(fast, images), expected, strict=True):
        np.testing.assert_allclose(ours.astype(float), theirs, rtol=1e-4, atol=1.01)
    names = [output.name for output in fast.graph.output]
    score = names.index("score")
    np.testing.assert_allclose(run(fast, images)[score], expected[score], atol=1e-5)
