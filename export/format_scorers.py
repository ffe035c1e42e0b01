"""Each exported format as a function from images to scores and decisions."""

import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import runtime

if TYPE_CHECKING:
    from ganad_tf.scoring import Detector

MAX_BATCH = 128
SAVED_MODEL, FILE_BYTES = "SavedModel", "SavedModel, file bytes"
ONNX_NAMES = {"onnx": "ONNX float32", "int8": "ONNX int8"}
# A new process of ONNX Runtime answers in half a second, and the best of three is steady to a few
# hundredths. TensorFlow's takes seconds, of which the noise is a small part.
ONNX_COLD_STARTS, TENSORFLOW_COLD_STARTS = 3, 1

SCORES, MARKS = ("score", "is_anomaly"), ("anomaly_map", "mask")
Scored = tuple[np.ndarray, np.ndarray]
# From images and the names of two outputs to these outputs.
FormatScorer = Callable[[np.ndarray, tuple[str, str]], Scored]


def format_scorers(
    detector: "Detector", folder: Path, files: dict[str, str]
) -> dict[str, FormatScorer]:
    """The detector in Keras, then every exported format, by the name it has in the parity table.

    Args:
        detector: of the run.
        folder: where the exported files lie; its path is plain, see `export.plain_path`.
        files: path within `folder` of each format.
    """

    from ganad_tf.scoring.detector import batch_size_for

    def keras(images: np.ndarray, names: tuple[str, str]) -> Scored:
        results = detector.run(images, outputs=names)
        return results[names[0]], results[names[1]]

    batch = min(MAX_BATCH, batch_size_for(detector.measurer))
    scorers: dict[str, FormatScorer] = {"Keras": keras}
    if "saved_model" in files:
        scorers |= _saved_model(folder / files["saved_model"], batch)
    for kind, name in ONNX_NAMES.items():
        if kind in files:
            scorers[name] = _onnx(folder / files[kind])
    return scorers | _openvino(folder, files, batch)


def cold_starts(folder: Path, files: dict[str, str], image: np.ndarray) -> dict[str, float]:
    """Seconds that a new process needs for one image, by the name in the parity table.

    Args:
        folder: as for `format_scorers`.
        files: likewise.
        image: uint8 [h, w, C], for its shape.
    """
    found = {}
    if "saved_model" in files:
        command = ["-c", _COLD_SAVED_MODEL, str(folder / files["saved_model"])]
        found[SAVED_MODEL] = _cold_start(command, image, TENSORFLOW_COLD_STARTS)
    for kind, name in ONNX_NAMES.items():
        if kind in files:
            place = str(Path(runtime.__file__).parent)
            command = ["-c", _COLD_ONNX, place, str(folder / files[kind])]
            found[name] = _cold_start(command, image, ONNX_COLD_STARTS)
    return found


def _in_batches(run: FormatScorer, size: int, inputs: np.ndarray, names: tuple[str, str]) -> Scored:
    parts = [run(inputs[start : start + size], names) for start in range(0, len(inputs), size)]
    first, second = zip(*parts, strict=True)
    return np.concatenate(first), np.concatenate(second)


def _saved_model(folder: Path, batch_size: int) -> dict[str, FormatScorer]:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))

    def scorer(signature: str, argument: str) -> FormatScorer:
        function = loaded.signatures[signature]

        def run(batch: np.ndarray, names: tuple[str, str]) -> Scored:
            results = function(**{argument: tf.constant(batch)})
            return results[names[0]].numpy(), results[names[1]].numpy()

        return functools.partial(_in_batches, run, batch_size)

    return {
        SAVED_MODEL: scorer("serve", "images"),
        FILE_BYTES: scorer("serve_encoded", "encoded"),
    }


def _onnx(path: Path) -> FormatScorer:
    scorer = runtime.Scorer(path)

    def run(images: np.ndarray, names: tuple[str, str]) -> Scored:
        results = scorer.score(images, outputs=names)
        return results[names[0]], results[names[1]]

    return run


def _openvino(folder: Path, files: dict[str, str], batch_size: int) -> dict[str, FormatScorer]:
    """An independent reader of the ONNX file and the SavedModel; nothing if not installed."""
    try:
        import openvino
    except ImportError:
        return {}
    found: dict[str, FormatScorer] = {}
    for kind, name in (("onnx", "OpenVINO of ONNX"), ("saved_model", "OpenVINO of SavedModel")):
        if kind in files:
            # Its default on some CPUs is bfloat16, which is another model's accuracy.
            hint = {"INFERENCE_PRECISION_HINT": "f32"}
            core = openvino.Core()
            model = core.compile_model(core.read_model(folder / files[kind]), "CPU", hint)

            def run(batch: np.ndarray, names: tuple[str, str], model: Any = model) -> Scored:
                results = model({"images": batch})
                return results[names[0]].copy(), results[names[1]].astype(bool)

            found[name] = functools.partial(_in_batches, run, batch_size)
    return found


_COLD_ONNX = """
import json, sys; sys.path.insert(0, sys.argv[1])
import numpy as np, runtime
runtime.Scorer(sys.argv[2]).score(np.zeros(json.load(sys.stdin), np.uint8))
"""
_COLD_SAVED_MODEL = """
import json, sys, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
model.signatures["serve"](images=tf.zeros(json.load(sys.stdin), tf.uint8))
"""


def _cold_start(command: list[str], image: np.ndarray, tries: int) -> float:
    """Seconds that a new process needs for one image; the best of some tries."""
    times = []
    for _ in range(tries):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, *command],
            input=json.dumps([1, *image.shape]),
            text=True,
            check=True,
            capture_output=True,
        )
        times.append(time.perf_counter() - start)
    return min(times)
