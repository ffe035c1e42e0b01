"""The calibration of an exported model: its threshold, probability and map scales.

They are constants in the graph, behind the outputs `is_anomaly`, `probability`, `anomaly_map` and
`mask`; the two thresholds and the probability also stand in the metadata. The output `score` does
not depend on them. What changes a constant here must change the metadata with it.
"""

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np
import onnx

from ganad_tf.calibration.map_scale import MapScale
from ganad_tf.errors import ArtefactError

from .graph import Graph

# The metadata's entry that says where a later calibration comes from.
RECALIBRATED = "recalibrated"
# In that record, corrections that an earlier one had; what was learnt from them stays.
EARLIER = "earlier_corrections"


@dataclasses.dataclass(frozen=True)
class MapBranch:
    """One of the maps that the anomaly map is the mean of, as it lies in the graph.

    Args:
        source: the tensor before it is scaled, float32 [N, h, w].
        is_centred: whether its typical value is subtracted.
    """

    source: str
    is_centred: bool


def as_float32(value: float) -> str:
    """A number as text that gives exactly the float32 the graph compares with."""
    return repr(float(np.float32(value)))


def set_metadata(model: onnx.ModelProto, values: dict[str, str]) -> None:
    """Writes or replaces entries of the model's metadata."""
    merged = {entry.key: entry.value for entry in model.metadata_props} | values
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, merged)


def set_threshold(model: onnx.ModelProto, threshold: float) -> None:
    """Replaces the constant that `is_anomaly` compares the score with.

    Raises:
        ArtefactError: if `is_anomaly` is anything else.
    """
    graph = Graph(model)
    old = graph.producer("is_anomaly")
    if (
        old is None
        or old.op_type != "Greater"
        or old.input[0] != "score"
        or graph.constant(old.input[1]) is None
    ):
        raise _unexpected("is_anomaly to be one comparison of the score with a constant", old)
    # A constant of its own: the converter shares equal ones between nodes.
    limit = graph.add_constant(_number(threshold), "threshold")
    graph.replace([old], [graph.node("Greater", ["score", limit], "is_anomaly")], old)
    graph.finish()


def set_probability(model: onnx.ModelProto, slope: float, intercept: float) -> None:
    """Replaces the constants of `probability` = sigmoid(slope * score + intercept).

    Raises:
        ArtefactError: if `probability` is anything else.
    """
    graph = Graph(model)
    sigmoid = graph.producer("probability")
    if sigmoid is None or sigmoid.op_type != "Sigmoid":
        raise _unexpected("probability to be a sigmoid", sigmoid)
    old = [sigmoid]
    source = _before_scaling(graph, sigmoid.input[0], ("Mul", "Add"), old)
    if source != "score":
        raise _unexpected("probability to follow from the score", graph.producer(source))
    product = graph.node("Mul", ["score", graph.add_constant(_number(slope), "slope")])
    summand = graph.add_constant(_number(intercept), "intercept")
    total = graph.node("Add", [product.output[0], summand])
    new = [product, total, graph.node("Sigmoid", [total.output[0]], "probability")]
    graph.replace(old, new, sigmoid)
    graph.finish()


def set_pixel_threshold(model: onnx.ModelProto, threshold: float) -> None:
    """Replaces the constant that `mask` compares the anomaly map with.

    Models of earlier versions get the output.

    Raises:
        ArtefactError: if `mask` is anything else.
    """
    graph = Graph(model)
    limit = graph.add_constant(_number(threshold), "pixel_threshold")
    new = graph.node("Greater", ["anomaly_map", limit], "mask")
    old = graph.producer("mask")
    if old is None:
        _, height, width = graph.shape("anomaly_map") or (None, None, None)
        value = onnx.helper.make_tensor_value_info(
            "mask", onnx.TensorProto.BOOL, ("N", height, width)
        )
        model.graph.output.append(value)
        graph.append(new)
    elif (
        old.op_type != "Greater"
        or old.input[0] != "anomaly_map"
        or graph.constant(old.input[1]) is None
    ):
        raise _unexpected("mask to be one comparison of the anomaly map with a constant", old)
    else:
        graph.replace([old], [new], old)
    graph.finish()


def map_branches(model: onnx.ModelProto) -> list[MapBranch]:
    """The maps that the anomaly map is the mean of; empty if the graph has another form."""
    return _map_branches(Graph(model))[1]


def with_map_outputs(model: onnx.ModelProto, branches: Sequence[MapBranch]) -> onnx.ModelProto:
    """A copy of the model that also returns the unscaled maps, each by the name of its tensor."""
    graph = Graph(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for branch in branches:
        _, height, width = graph.shape(branch.source) or (None, None, None)
        value = onnx.helper.make_tensor_value_info(
            branch.source, onnx.TensorProto.FLOAT, ("N", height, width)
        )
        copy.graph.output.append(value)
    return copy


def set_map_scales(model: onnx.ModelProto, scales: Sequence[MapScale]) -> None:
    """Replaces the scales of the maps that the anomaly map is the mean of.

    Args:
        model: whose `map_branches` are not empty.
        scales: one for each of the branches.
    """
    graph = Graph(model)
    old, branches = _map_branches(graph)
    new: list[onnx.NodeProto] = []

    def add(op_type: str, *inputs: str) -> str:
        new.append(graph.node(op_type, inputs))
        return new[-1].output[0]

    scaled = []
    for branch, scale in zip(branches, scales, strict=True):
        typical = graph.add_constant(_number(scale.typical), "typical")
        factor = graph.add_constant(_number(1 / scale.high), "map_factor")
        centred = add("Sub", branch.source, typical) if branch.is_centred else branch.source
        scaled.append(add("Mul", centred, factor))
    total = add("Sum", *scaled)
    share = graph.add_constant(_number(1 / len(scaled)), "map_share")
    new.append(graph.node("Mul", [total, share], "anomaly_map"))
    graph.replace(old, new, old[0])
    graph.finish()


def _map_branches(graph: Graph) -> tuple[list[onnx.NodeProto], list[MapBranch]]:
    """The nodes that scale and join the maps, the last one first, and the maps before them."""
    old: list[onnx.NodeProto] = []
    mean = _before_scaling(graph, "anomaly_map", ("Mul", "Div"), old)
    total = graph.producer(mean)
    parts = [mean]
    if total is not None and total.op_type in ("Sum", "Add"):
        old.append(total)
        parts = list(total.input)
    branches = []
    for part in parts:
        part = _before_scaling(graph, part, ("Mul", "Div"), old)
        source = _before_scaling(graph, part, ("Sub",), old)
        branches.append(MapBranch(source, source != part))
    shapes = [graph.shape(branch.source) for branch in branches]
    is_known = old and all(shape is not None and len(shape) == 3 for shape in shapes)
    return (old, branches) if is_known else ([], [])


def _before_scaling(
    graph: Graph, tensor: str, op_types: Collection[str], passed: list[onnx.NodeProto]
) -> str:
    """Follows a tensor back through operations with one constant number.

    Args:
        graph: the graph.
        tensor: where to begin.
        op_types: which operations are passed.
        passed: receives their nodes. Each of them but the first must have one reader.

    Returns:
        The first tensor that is not the result of such an operation.
    """
    while True:
        node = graph.producer(tensor)
        if node is None or node.op_type not in op_types:
            return tensor
        if passed and graph.only_reader(tensor) is None:
            return tensor
        constants = [graph.constant(name) for name in node.input]
        computed = [
            name for name, value in zip(node.input, constants, strict=True) if value is None
        ]
        if len(computed) != 1 or any(c is not None and c.size != 1 for c in constants):
            return tensor
        passed.append(node)
        tensor = computed[0]


def _number(value: float) -> np.ndarray:
    return np.array([value], np.float32)


def _unexpected(expected: str, node: onnx.NodeProto | None) -> ArtefactError:
    received = "none" if node is None else f"{node.op_type} of {list(node.input)}"
    return ArtefactError(f"expected {expected}. Received: {received}")
