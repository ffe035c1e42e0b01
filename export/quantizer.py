"""Quantises one graph again and again, each time with other operators kept in float32."""

import contextlib
import copy
import itertools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.quant_utils import (
    TENSOR_NAME_QUANT_SUFFIX as QUANTIZED,
)

from ganad_tf.data.image_view import ImageView

from .calibrated_graph import set_metadata
from .fast_graph import fold_scales, split_transposed_convolutions
from .fold_input import fold_affine_steps, merge_equal_channels, widen_scalars
from .graph import Graph
from .keep_float import MAX_GROUPS
from .weight_rounding import RoundedWeights, round_convolutions

SCALE = "_scale"  # suffix of the name of a tensor's scale
# Every activation of a calibration batch is kept: 14 GB for 64 images of 224 pixels.
CALIBRATION_BATCH, CALIBRATION_PIXELS = 64, 2**18
# Images from which weights are rounded, and fewer large ones; more change nothing.
ROUNDING_IMAGES, MIN_ROUNDING_IMAGES, ROUNDING_PIXELS = 128, 64, 2**21
MIN_SHARED = 256  # values; equal constants of at least so many are kept once
WORKING = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class Quantizer:
    """Writes int8 models of one graph. Activations are calibrated once.

    Args:
        plain: the converter's graph; is not changed.
        metadata: for the int8 models.
        images: uint8 [N, h, w, C], for the ranges.
        folder: for temporary files.

    Attributes:
        work: multiplications for one image, of each group of operators.
    """

    def __init__(
        self,
        plain: onnx.ModelProto,
        metadata: dict[str, str],
        images: np.ndarray,
        folder: Path,
    ):
        graph = Graph(copy.deepcopy(plain))
        fold_affine_steps(graph)
        merge_equal_channels(graph)
        widen_scalars(graph)
        fold_scales(graph)
        split_transposed_convolutions(graph, graph.nodes("ConvTranspose")[:-1])
        # Opened again for the shapes of what is new in it.
        graph = Graph(graph.finish())
        _give_weights_and_biases(graph)
        self._groups, self.work = _grouped(graph, inner_nodes(graph))
        self._metadata, self._images, self._folder = metadata, images, folder
        self._float = graph.finish()
        some = evenly_spread(images, ROUNDING_IMAGES, MIN_ROUNDING_IMAGES, ROUNDING_PIXELS)
        self._rounded = round_convolutions(graph, set().union(*self._groups), images[some])

    def operators(self, kept: frozenset[int]) -> list[str]:
        """Names of the operators in these groups."""
        return [name for group in sorted(kept) for name in self._groups[group]]

    def write(self, kept: frozenset[int]) -> Path:
        """Writes a model that is in int8 except for some groups, and returns its path.

        The file is overwritten by the next call.
        """
        path, ranges = self._folder / "int8.onnx", self._folder / "ranges.json"
        operators = self.operators(frozenset(range(len(self._groups))) - kept)
        rounded = [
            (node, self._rounded[node.name])
            for node in self._float.graph.node
            if node.name in self._rounded and node.name in operators
        ]
        onnx.save(_with_biases(self._float, rounded), self._folder / "float.onnx")
        with _quiet():
            quantize_static(
                self._folder / "float.onnx",
                path,
                None if ranges.exists() else _Batches(self._images),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_quantize=operators,
                calibration_cache_path=ranges,
            )
        model = onnx.load(path)
        _set_weights(model, rounded)
        set_metadata(model, self._metadata)
        onnx.save(model, path)
        return path


def evenly_spread(images: np.ndarray | ImageView, most: int, least: int, pixels: int) -> np.ndarray:
    """Indices of as many of the images as have so many pixels, within limits; int [n]."""
    fitting = pixels // int(np.prod(images.shape[1:3]))
    count = min(len(images), int(np.clip(fitting, least, most)))
    return np.linspace(0, len(images) - 1, count).astype(int)


def share_equal_constants(model: onnx.ModelProto) -> None:
    """Keeps one of equal weights: what stays in float32 had weights of its own for nothing.

    Small constants stay apart. Some are set anew later, such as thresholds.
    """
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    names = {}
    for constant in model.graph.initializer:
        content = numpy_helper.to_array(constant)
        if content.size >= MIN_SHARED:
            key = constant.data_type, content.shape, content.tobytes()
            names[constant.name] = first.setdefault(key, constant.name)
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
    left = [one for one in model.graph.initializer if names.get(one.name, one.name) == one.name]
    del model.graph.initializer[:]
    model.graph.initializer.extend(left)


Rounded = Sequence[tuple[onnx.NodeProto, RoundedWeights]]


def _give_weights_and_biases(graph: Graph) -> None:
    """Gives every convolution weights of its own, and a bias, which their rounding can change.

    An encoder that sees an image at two sizes is in the graph twice, and its weights are shared.
    """
    taken: set[str] = set()
    for node in graph.nodes("Conv"):
        weights = graph.constant(node.input[1])
        if weights is None:
            continue
        if len(node.input) == 2:
            node.input.append(graph.add_constant(np.zeros(len(weights), np.float32), "bias"))
        for place, hint in ((1, "weights"), (2, "bias")):
            value = graph.constant(node.input[place])
            if node.input[place] in taken and value is not None:
                node.input[place] = graph.add_constant(value, hint)
            taken.add(node.input[place])


def _with_biases(model: onnx.ModelProto, rounded: Rounded) -> onnx.ModelProto:
    """The model with the biases that go with rounded weights; the quantiser rounds these itself."""
    model = copy.deepcopy(model)
    new = {node.input[2]: weights.bias for node, weights in rounded}
    for constant in model.graph.initializer:
        if constant.name in new:
            constant.CopyFrom(numpy_helper.from_array(new[constant.name], constant.name))
    return model


def _set_weights(model: onnx.ModelProto, rounded: Rounded) -> None:
    """Replaces the weights of a quantised model, which were rounded to the nearest step.

    The quantiser gives outputs with hardly any weights another scale, so that their bias fits into
    32 bits. They keep its weights.
    """
    constants = {constant.name: constant for constant in model.graph.initializer}
    for node, weights in rounded:
        quantized = constants[node.input[1] + QUANTIZED]
        scales = numpy_helper.to_array(constants[node.input[1] + SCALE])
        steps = numpy_helper.to_array(quantized).copy()
        same = np.isclose(scales, weights.scales, rtol=1e-5, atol=0)
        steps[same] = weights.steps[same]
        quantized.CopyFrom(numpy_helper.from_array(steps, quantized.name))


def _grouped(graph: Graph, nodes: Sequence[onnx.NodeProto]) -> tuple[list[list[str]], list[float]]:
    """Divides nodes, in order of execution, into at most `MAX_GROUPS` groups of like size.

    Returns:
        names: of the nodes of each group.
        work: multiplications for one image, of each group.
    """
    heavy = [position for position, node in enumerate(nodes) if node.op_type in WORKING]
    parts = [part for part in np.array_split(heavy, MAX_GROUPS) if len(part)]
    starts = [0, *(int(part[0]) for part in parts[1:]), len(nodes)]
    stretches = [nodes[a:b] for a, b in itertools.pairwise(starts)]
    names = [[node.name for node in stretch] for stretch in stretches]
    return names, [sum(_multiplications(graph, node) for node in s) for s in stretches]


def _multiplications(graph: Graph, node: onnx.NodeProto) -> float:
    if node.op_type not in WORKING:
        return 0.0
    weights = graph.constant(node.input[1])
    # The map that the kernel is laid over: each of its pixels is multiplied with all weights.
    tensor = node.input[0] if node.op_type == "ConvTranspose" else node.output[0]
    sizes = (graph.shape(tensor) or ())[2:]
    area = float(np.prod([size or 1 for size in sizes])) if len(sizes) == 2 else 1.0
    return area * (1 if weights is None else weights.size)


def inner_nodes(graph: Graph) -> list[onnx.NodeProto]:
    """The nodes of the networks without each one's first convolution and the decoder's last step.

    What depends on the reconstruction, and what comes before a network's first convolution or after
    its last, is no part of a network: it prepares images or computes scores from maps.
    """
    last = graph.nodes("ConvTranspose")[-1]
    ancestors = _ancestors(graph)
    convolutions = [
        node
        for node in graph.nodes("Conv", "ConvTranspose")
        if last.name not in ancestors[node.name]
    ]
    names = {node.name for node in convolutions}
    firsts = [node for node in convolutions if not names & ancestors[node.name]]
    inner = names.union(*(ancestors[node.name] for node in convolutions))
    outer = {last.name}.union(*({node.name} | ancestors[node.name] for node in firsts))
    return [node for node in graph.nodes() if node.name in inner - outer]


def _ancestors(graph: Graph) -> dict[str, set[str]]:
    """Names of all nodes that each node's inputs are computed from."""
    producers: dict[str, str] = {}
    found: dict[str, set[str]] = {}
    for node in graph.nodes():  # in order of execution
        direct = {producers[name] for name in node.input if name in producers}
        found[node.name] = direct.union(*(found[name] for name in direct))
        producers.update(dict.fromkeys(node.output, node.name))
    return found


class _Batches(CalibrationDataReader):
    def __init__(self, images: np.ndarray):
        pixels_each = images.shape[1] * images.shape[2]
        size = max(1, min(CALIBRATION_BATCH, CALIBRATION_PIXELS // pixels_each))
        starts = range(0, len(images), size)
        self._batches = iter([{"images": images[i : i + size]} for i in starts])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the quantiser's advice to run its own optimiser first; ours has run."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)
