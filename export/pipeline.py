"""Writes all formats beside their destination, checks that they agree, and only then moves them."""

import dataclasses
import hashlib
import os
import platform
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

from export import onnx_model, saved_model
from export.quantize import quantize
from export.runtime import Scorer
from export.verify import MOST_AUROC_DROP, Row, compare, failures
from ganad_tf.atomic_files import write_json
from ganad_tf.data.splits import Splits
from ganad_tf.errors import ArtefactError, UsageError
from ganad_tf.scoring import Detector

LIBRARIES = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy")


def export(
    detector: Detector,
    splits: Splits,
    output: Path,
    formats: tuple[str, ...],
    version: int | None = None,
    opset: int = onnx_model.OPSET,
    model_name: str = "ganad",
    most_auroc_drop: float = MOST_AUROC_DROP,
) -> list[Row]:
    """Exports a detector.

    Args:
        detector: of a finished run.
        splits: its images: training ones calibrate int8, validation ones fit int8's threshold,
            test ones compare the formats.
        output: the folder to write into.
        formats: of `saved_model`, `onnx`, `int8`.
        version: of the SavedModel; by default one above the highest in `output`.
        opset: of the ONNX files.
        model_name: as TensorFlow Serving will call it.
        most_auroc_drop: allowed to int8.

    Returns:
        The parity table.

    Raises:
        UsageError: if the version exists; servers rely on its never changing.
        ArtefactError: if formats disagree; nothing is left behind then.
    """
    version = version or _next_version(output)
    destination = output / "saved_model" / str(version)
    if "saved_model" in formats and destination.exists():
        raise UsageError(f"--version must be a new one. Received: {version}, which exists")
    existed = output.exists()
    output.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=output, prefix=".writing-"))
    try:
        files = _write(detector, splits, temporary, formats, version, opset, model_name)
        rows = compare(detector, splits.test.images, splits.test.is_anomaly, temporary, files)
        wrong = failures(rows, len(splits.test), most_auroc_drop)
        if wrong:
            raise ArtefactError("; ".join(wrong))
        description = _describe(detector, splits, temporary, files, version, opset, rows)
        for path in files.values():
            (output / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary / path, output / path)
        write_json(output / "export.json", description)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if not existed and not any(output.iterdir()):
            output.rmdir()
    return rows


def _write(detector, splits, folder, formats, version, opset, model_name) -> dict[str, str]:
    files = {}
    if "saved_model" in formats:
        files["saved_model"] = f"saved_model/{version}"
        saved_model.write(
            detector, folder / files["saved_model"], _threshold(detector, splits), model_name
        )
    if {"onnx", "int8"} & set(formats):
        model = onnx_model.build(detector, splits.fingerprint, splits.normal_name, opset)
        onnx_model.save(model, folder / "model.onnx")
        if "onnx" in formats:
            files["onnx"] = "model.onnx"
    if "int8" in formats:
        files["int8"] = "model.int8.onnx"
        quantize(
            onnx_model.convert(detector, opset),
            {entry.key: entry.value for entry in model.metadata_props},
            splits.train,
            splits.validation,
            Scorer(folder / "model.onnx"),
            folder / files["int8"],
        )
    return files


def _next_version(output: Path) -> int:
    folder = output / "saved_model"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return max([int(name) for name in names if name.isdecimal()], default=0) + 1


def _threshold(detector: Detector, splits: Splits) -> dict:
    scorer = detector.scorer
    return {
        "threshold": scorer.threshold,
        "calibration": {"slope": scorer.slope, "intercept": scorer.intercept},
        "normal_name": splits.normal_name,
        "image_shape": list(detector.image_shape),
        "fingerprint": splits.fingerprint,
        "scorer": scorer.explanation,
    }


def _describe(detector, splits, folder, files, version, opset, rows) -> dict:
    description = {
        **_threshold(detector, splits),
        "formats": files,
        "version": version,
        "opset": opset,
        "signatures": {
            "serve": {"images": f"uint8 [N, {', '.join(map(str, detector.image_shape))}]"},
            "serve_encoded": {"encoded": "string [N], PNG or JPEG files"},
            "outputs": list(onnx_model.OUTPUTS),
        },
        "parity": [dataclasses.asdict(row) for row in rows],
        "files": {
            str(path.relative_to(folder)): {
                "bytes": path.stat().st_size,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            for root in files.values()
            for path in sorted([folder / root, *(folder / root).rglob("*")])
            if path.is_file()
        },
        "versions": {name: metadata.version(name) for name in LIBRARIES}
        | {"python": platform.python_version()},
    }
    if "int8" in files:
        description["int8_threshold"] = Scorer(folder / files["int8"]).threshold
    return description
