"""Rounds the weights of convolutions to int8 so that their outputs change little.

Weights rounded to the nearest step are each a little wrong, and over the inputs that occur the
errors add up. On solar cells (ELPV) that alone moved the scores by 0.31 of their spread over normal
images, because a Mahalanobis distance magnifies what hardly varies; the rounding here moves them by
0.03. Weights are rounded one after the other, and those that follow make up for the error so far
(Frantar et al., *GPTQ*, ICLR 2023). The bias takes what remains of the error on average (Nagel et
al., *Data-Free Quantization*, ICCV 2019).
"""

import copy
import dataclasses
from collections.abc import Collection, Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from .graph import Graph, attribute

# Added to the variance of every input, as a share of their mean; inputs may depend on each other.
DAMPING = 0.01
LARGEST = 127  # int8 weights are symmetric
# Places of each image at which inputs are read, and how many images are in memory at a time.
PLACES, BATCH = 32, 4
MIN_SCALE = 1e-14  # of an output whose weights are all 0


@dataclasses.dataclass(frozen=True)
class RoundedWeights:
    """Weights of one convolution in int8.

    Args:
        steps: int8 [O, c, kh, kw].
        scales: float32 [O]; weights are `steps * scales`.
        bias: float32 [O], to be used instead of the old one.
    """

    steps: np.ndarray
    scales: np.ndarray
    bias: np.ndarray


def round_convolutions(
    graph: Graph, names: Collection[str], images: np.ndarray
) -> dict[str, RoundedWeights]:
    """Rounds the weights of some convolutions for the inputs that they have in the float32 model.

    Args:
        graph: the float32 model, with an input `images`.
        names: of nodes. Other nodes than convolutions, and convolutions of several groups that are
            not depthwise, are passed over.
        images: uint8 [N, h, w, C], of training.

    Returns:
        Name of a convolution -> its weights.
    """
    convolutions = [
        node for node in graph.nodes("Conv") if node.name in names and _can_be_rounded(graph, node)
    ]
    if not convolutions:
        return {}
    inputs = sorted({node.input[0] for node in convolutions})
    model = copy.deepcopy(graph.model)
    results = {result.name for result in model.graph.output}
    model.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in inputs if name not in results
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    moments = {node.name: InputMoments() for node in convolutions}
    rng = np.random.default_rng(0)
    for start in range(0, len(images), BATCH):
        maps = session.run(inputs, {"images": images[start : start + BATCH]})
        by_name = dict(zip(inputs, maps, strict=True))
        for node in convolutions:
            sampled = sample_inputs(
                by_name[node.input[0]],
                _constant(graph, node.input[1]).shape[2:],
                attribute(node, "strides", [1, 1]),
                attribute(node, "pads", [0, 0, 0, 0]),
                attribute(node, "group", 1),
                PLACES,
                rng,
            )
            moments[node.name].add(sampled)
    rounded = {}
    for node in convolutions:
        weights, bias = (_constant(graph, name) for name in node.input[1:])
        rounded[node.name] = round_weights(weights, bias, moments[node.name])
    return rounded


def _can_be_rounded(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether its weights are constants of its own, and each group has one input channel or all."""
    weights = graph.constant(node.input[1])
    return (
        weights is not None
        and len(node.input) == 3
        and len(graph.readers(node.input[1])) == 1
        and (attribute(node, "group", 1) == 1 or weights.shape[1] == 1)
        and set(attribute(node, "dilations", [1, 1])) == {1}
    )


def _constant(graph: Graph, name: str) -> np.ndarray:
    value = graph.constant(name)
    assert value is not None, name
    return value


class InputMoments:
    """Mean and covariance of what a convolution's weights are multiplied with.

    G groups have D inputs each, D = c * kh * kw.
    """

    def __init__(self) -> None:
        self._count = 0
        # Zeros of no shape, to which the first sums are added.
        self._sum, self._products = np.zeros(()), np.zeros(())

    def add(self, inputs: np.ndarray) -> None:
        """Adds inputs, float32 [G, M, D]."""
        inputs = inputs.astype(np.float64)
        self._count += inputs.shape[1]
        self._sum = self._sum + inputs.sum(axis=1)
        self._products = self._products + inputs.transpose(0, 2, 1) @ inputs

    @property
    def mean(self) -> np.ndarray:
        """[G, D]."""
        return self._sum / self._count

    @property
    def covariance(self) -> np.ndarray:
        """[G, D, D]."""
        return self._products / self._count - self.mean[:, :, None] * self.mean[:, None, :]


def sample_inputs(
    maps: np.ndarray,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    groups: int,
    places: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """What a convolution's weights are multiplied with, at random places.

    Args:
        maps: its input, float32 [N, C, h, w].
        kernel: height and width.
        strides: vertical and horizontal.
        pads: top, left, bottom and right, as in ONNX.
        groups: G, 1 or C.
        places: of each image.
        rng: draws them.

    Returns:
        float32 [G, N * places, C / G * kh * kw].
    """
    top, left, bottom, right = pads
    padded = np.pad(maps, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, tuple(kernel), axis=(2, 3))
    windows = windows[:, :, :: strides[0], :: strides[1]]
    count, channels, height, width = windows.shape[:4]
    images = np.repeat(np.arange(count), places)
    rows, columns = rng.integers(height, size=len(images)), rng.integers(width, size=len(images))
    found = windows[images, :, rows, columns]  # [M, C, kh, kw]
    grouped = found.reshape(len(images), groups, channels // groups * kernel[0] * kernel[1])
    return grouped.transpose(1, 0, 2)


def round_weights(weights: np.ndarray, bias: np.ndarray, moments: InputMoments) -> RoundedWeights:
    """Rounds the weights of one convolution, each output channel with a scale of its own.

    Args:
        weights: float32 [O, c, kh, kw].
        bias: float32 [O].
        moments: of its inputs, D = c * kh * kw.
    """
    outputs = len(weights)
    covariance = moments.covariance
    groups, size = covariance.shape[:2]
    largest = np.abs(weights).reshape(outputs, -1).max(axis=1)
    scales = np.maximum(largest / LARGEST, MIN_SCALE).astype(np.float32)
    wanted = weights.reshape(groups, outputs // groups, size).astype(np.float64)
    by_group = scales.astype(np.float64).reshape(groups, -1, 1)
    steps = _round_in_turn(wanted / by_group, covariance)
    error = steps * by_group - wanted
    shift = np.einsum("god,gd->go", error, moments.mean).reshape(-1)
    return RoundedWeights(
        steps.reshape(weights.shape).astype(np.int8), scales, (bias - shift).astype(np.float32)
    )


def _round_in_turn(wanted: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Rounds [G, o, D] to whole numbers in [-127, 127] for inputs of this covariance [G, D, D]."""
    size = covariance.shape[1]
    variance = np.einsum("gdd->gd", covariance)
    # What varies most is rounded first: there is most left to make up for it.
    order = np.argsort(-variance, axis=1)
    sorted_covariance = np.take_along_axis(
        np.take_along_axis(covariance, order[:, :, None], axis=1), order[:, None, :], axis=2
    )
    damping = DAMPING * variance.mean(axis=1) + 1e-12
    damped = sorted_covariance + damping[:, None, None] * np.eye(size)
    # Row d of the upper factor holds what rounding input d does to those after it.
    factor = np.linalg.cholesky(np.linalg.inv(damped)).transpose(0, 2, 1)
    rest = np.take_along_axis(wanted, order[:, None, :], axis=2)
    rounded = np.empty_like(rest)
    for d in range(size):
        rounded[:, :, d] = np.clip(np.rint(rest[:, :, d]), -LARGEST, LARGEST)
        error = (rest[:, :, d] - rounded[:, :, d]) / factor[:, d, d][:, None]
        rest[:, :, d:] -= error[:, :, None] * factor[:, None, d, d:]
    back = np.argsort(order, axis=1)
    return np.take_along_axis(rounded, back[:, None, :], axis=2)
