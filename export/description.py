"""What export.json and the SavedModel's ganad.json say."""

import dataclasses
import hashlib
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganad_tf.environment import installed_version

if TYPE_CHECKING:
    from ganad_tf.data.splits import Splits
    from ganad_tf.scoring import Detector

FORMATS = ("saved_model", "onnx", "int8")
# Detectors of earlier versions have no mask.
OUTPUTS = ("score", "probability", "is_anomaly", "anomaly_map", "mask", "reconstruction")
LIBRARIES = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy")


def describe_threshold(detector: "Detector", splits: "Splits") -> dict[str, Any]:
    """How scores are read: for ganad.json in the SavedModel, and the beginning of export.json."""
    scorer = detector.scorer
    return {
        "threshold": scorer.threshold,
        "pixel_threshold": scorer.pixel_threshold,
        "calibration": {"slope": scorer.slope, "intercept": scorer.intercept},
        "normal_name": splits.normal_name,
        "image_shape": list(detector.image_shape),
        "resize": detector.resize,
        "bit_depth": detector.bit_depth,
        "max_pixels": detector.max_pixels,
        "fingerprint": splits.fingerprint,
        "scorer": scorer.explanation,
    }


def describe_signatures(detector: "Detector") -> dict[str, Any]:
    """Inputs of the SavedModel's signatures, and the outputs of every format."""
    return {
        "serve": {"images": f"uint8 [N, {', '.join(map(str, detector.image_shape))}]"},
        "serve_encoded": {"encoded": "string [N], PNG or JPEG files"},
        "outputs": [name for name in OUTPUTS if name != "mask" or detector.has_mask],
    }


def describe_files(folder: Path, files: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Size and hash of each exported file.

    Args:
        folder: where they lie.
        files: path within `folder` of each format, a file or a folder.
    """
    return {
        str(path.relative_to(folder)): {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for root in files.values()
        for path in sorted([folder / root, *(folder / root).rglob("*")])
        if path.is_file()
    }


def describe_int8(report: Any) -> dict[str, Any]:
    """The int8 model's own threshold, and which operators stayed in float32, and why.

    Args:
        report: the `export.quantize.Quantized` of the model.
    """
    return {"int8_threshold": report.threshold, "int8": dataclasses.asdict(report)}


def library_versions() -> dict[str, str]:
    """Versions of what wrote the files."""
    versions = {name: installed_version(name) for name in LIBRARIES}
    return {**versions, "python": platform.python_version()}
