"""Static int8 quantisation, with the threshold fitted again on validation images."""

import contextlib
import copy
import json
import logging
import tempfile
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

from export.fast_graph import fold_scales, split_transposed_convolutions
from export.graph import Graph
from export.onnx_model import as_float32, set_metadata
from export.runtime import Scorer
from ganad_tf.data.images import LabelledImages
from ganad_tf.errors import ArtefactError

CALIBRATION_IMAGES = 512
CALIBRATION_BATCH = 64


def quantize(
    plain: onnx.ModelProto,
    metadata: dict[str, str],
    train: LabelledImages,
    validation: LabelledImages,
    float_scorer: Scorer,
    path: Path,
) -> None:
    """Writes the int8 model.

    QDQ, uint8 activations and int8 weights per channel, ranges from training images. The first
    convolution, the last transposed one and the whole score stay in float32: they are a few per
    cent of the work, and the score is a difference of nearly equal images.

    Args:
        plain: the converter's graph; is not changed.
        metadata: of the float32 model; threshold and normal scores are replaced.
        train: whose images the ranges are taken from.
        validation: on which the threshold is fitted.
        float_scorer: the float32 model, whose decisions the threshold imitates.
        path: where to write.
    """
    graph = Graph(copy.deepcopy(plain))
    fold_scales(graph)
    *inner, last = graph.nodes("ConvTranspose")
    split_transposed_convolutions(graph, inner)
    names = _nodes_between(graph, graph.nodes("Conv")[0], last)
    model = graph.finish()
    chosen = np.linspace(0, len(train) - 1, min(CALIBRATION_IMAGES, len(train))).astype(int)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        onnx.save(model, f"{folder}/float.onnx")
        quantize_static(
            f"{folder}/float.onnx",
            path,
            _Batches(train.images[chosen]),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_quantize=names,
        )
    quantized = onnx.load(path)
    set_metadata(quantized, metadata)
    onnx.save(quantized, path)
    scores = Scorer(path).score(validation.images)["score"]
    threshold = refit_threshold(
        scores, float_scorer.score(validation.images), validation.is_anomaly, float_scorer
    )
    _set_threshold(quantized, threshold)
    normal_scores = np.sort(scores[~validation.is_anomaly]).tolist()
    set_metadata(
        quantized,
        {"threshold": as_float32(threshold), "normal_scores": json.dumps(normal_scores)},
    )
    onnx.checker.check_model(quantized)
    onnx.save(quantized, path)


def refit_threshold(
    scores: np.ndarray, float_results: dict, is_anomaly: np.ndarray, float_scorer: Scorer
) -> float:
    """The int8 threshold that means what the float32 threshold means.

    A conformal threshold is one of the normal scores, and its rank carries the promise: the same
    rank is taken. Any other is placed where the int8 model makes the float32 model's decisions, as
    nearly as it can.

    Args:
        scores: int8 scores of the validation images, [N].
        float_results: what the float32 scorer says of them.
        is_anomaly: bool [N].
        float_scorer: with its threshold and normal scores.
    """
    normal = np.sort(scores[~is_anomaly])
    float_normal = np.float32(float_scorer.normal_scores)
    rank = np.flatnonzero(float_normal == np.float32(float_scorer.threshold))
    if len(rank) and len(normal) == len(float_normal):
        return float(normal[rank[0]])
    order = np.argsort(scores)
    ordered, decided = scores[order].astype(np.float64), float_results["is_anomaly"][order]
    # errors[k]: how many decisions differ if the k lowest scores are called normal.
    missed = np.concatenate([[0], np.cumsum(decided)])
    false = np.concatenate([np.cumsum(~decided[::-1])[::-1], [0]])
    edges = np.concatenate([[ordered[0] - 1], ordered, [ordered[-1] + 1]])
    middles = (edges[:-1] + edges[1:]) / 2
    errors = missed + false
    best = np.flatnonzero(errors == errors.min())
    return float(middles[best[len(best) // 2]])


def _nodes_between(graph: Graph, first, last) -> list[str]:
    """Names of the nodes from which `last` is computed, without `first` and what it needs."""

    def needed(node) -> set[str]:
        names, waiting = set(), list(node.input)
        while waiting:
            producer = graph.producer(waiting.pop())
            if producer is not None and producer.name not in names:
                names.add(producer.name)
                waiting.extend(producer.input)
        return names

    inner = needed(last) - needed(first) - {first.name}
    return [node.name for node in graph.nodes() if node.name in inner]


def _set_threshold(model: onnx.ModelProto, threshold: float) -> None:
    """Replaces the constant that `is_anomaly` compares the score with."""
    comparison = next(node for node in model.graph.node if "is_anomaly" in node.output)
    constants = {constant.name: constant for constant in model.graph.initializer}
    found = [constants[name] for name in comparison.input if name in constants]
    if comparison.op_type != "Greater" or len(found) != 1:
        raise ArtefactError(
            "expected is_anomaly to be one comparison with a constant. "
            f"Received: {comparison.op_type} of {list(comparison.input)}"
        )
    value = np.full(found[0].dims, threshold, np.float32)
    # A constant of its own: the converter shares equal ones between nodes.
    new = numpy_helper.from_array(value, "threshold")
    model.graph.initializer.append(new)
    inputs = ["threshold" if name == found[0].name else name for name in comparison.input]
    del comparison.input[:]
    comparison.input.extend(inputs)


class _Batches(CalibrationDataReader):
    def __init__(self, images: np.ndarray):
        starts = range(0, len(images), CALIBRATION_BATCH)
        self._batches = iter([{"images": images[i : i + CALIBRATION_BATCH]} for i in starts])

    def get_next(self):
        return next(self._batches, None)


@contextlib.contextmanager
def _quiet():
    """Silences the quantiser's advice to run its own optimiser first; ours has run."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
