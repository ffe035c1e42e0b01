"""The detector as an ONNX file, with all that a scorer needs to know inside it."""

import copy
import itertools
import json
import os
import re
from pathlib import Path

import onnx
import tensorflow as tf

import ganad_tf
from ganad_tf.scoring import MAP_COLOUR_RANGE, Detector

from .calibrated_graph import RECALIBRATED, as_float32, set_metadata
from .fast_graph import speed_up

OPSET = 18
# How the converter ends the names that it invents.
NUMBERED = re.compile(r"__[0-9]+$")


def convert(detector: Detector, opset: int = OPSET) -> onnx.ModelProto:
    """The converter's plain graph: input `images`, outputs by the names in
    `export.description.OUTPUTS`."""
    import tf2onnx

    images = tf.TensorSpec((None, *detector.image_shape), tf.uint8, name="images")
    function = tf.function(detector.graph, input_signature=[images], autograph=False)
    model, _ = tf2onnx.convert.from_function(function, input_signature=[images], opset=opset)
    # Free sizes get the converter's invented names; a reader of the file should see N.
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    name_in_order(model)
    return model


def name_in_order(model: onnx.ModelProto) -> None:
    """Names nodes without a layer by what they do, in order, and constants by who reads them.

    The converter numbers nodes, and chooses among equal ones, in the order of Python's sets, which
    differs from process to process. Two exports of a run would differ in their bytes.
    """
    graph = model.graph
    constants = {constant.name: constant for constant in graph.initializer}
    names: dict[str, str] = {}
    renumbered, kept = itertools.count(1), {output.name for output in graph.output}
    for node in graph.node:
        layer = NUMBERED.sub("", node.name) if "/" in node.name else node.op_type
        if node.name != layer:
            node.name = f"{layer}__{next(renumbered)}"
        for position, name in enumerate(node.input):
            if name in constants:
                names.setdefault(name, f"{node.name}/input_{position}")
        names |= {
            name: f"{node.name}:{i}" for i, name in enumerate(node.output) if name not in kept
        }
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    read = [name for name in names if name in constants]
    ordered = [constants[name] for name in read]
    for constant, name in zip(ordered, read, strict=True):
        constant.name = names[name]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(ordered)


def build(
    detector: Detector, fingerprint: str, normal_name: str, opset: int = OPSET
) -> onnx.ModelProto:
    """The float32 model that is exported: converted, sped up, with metadata."""
    return finish(convert(detector, opset), detector, fingerprint, normal_name)


def finish(
    plain: onnx.ModelProto, detector: Detector, fingerprint: str, normal_name: str
) -> onnx.ModelProto:
    """The float32 model of a converted graph: sped up, with metadata.

    Args:
        plain: what `convert` returned; is not changed.
        detector: of which it is the graph.
        fingerprint: of the run's split.
        normal_name: the normal kind.
    """
    model = speed_up(copy.deepcopy(plain))
    scorer, ranges = detector.scorer, detector.image_ranges
    recalibrated = scorer.explanation.get(RECALIBRATED)
    marks = {}
    if scorer.pixel_threshold is not None:
        marks = {
            "pixel_threshold": as_float32(scorer.pixel_threshold),
            "normal_peaks": json.dumps(list(scorer.normal_peaks)),
        }
    set_metadata(
        model,
        {
            **({} if ranges is None else {"image_ranges": json.dumps(ranges)}),
            **({} if recalibrated is None else {RECALIBRATED: json.dumps(recalibrated)}),
            **marks,
            "ganad_version": ganad_tf.__version__,
            "threshold": as_float32(scorer.threshold),
            "normal_name": normal_name,
            "image_shape": ",".join(map(str, detector.image_shape)),
            "resize": detector.resize,
            "bit_depth": str(detector.bit_depth),
            "max_pixels": str(detector.max_pixels),
            "calibration": json.dumps({"slope": scorer.slope, "intercept": scorer.intercept}),
            "normal_scores": json.dumps(list(scorer.normal_scores)),
            "map_colour_range": ",".join(f"{limit:g}" for limit in MAP_COLOUR_RANGE),
            "fingerprint": fingerprint,
        },
    )
    return model


def save(model: onnx.ModelProto, path: str | os.PathLike) -> None:
    """Writes a model after checking it."""
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(Path(path)))
