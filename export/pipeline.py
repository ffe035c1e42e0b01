"""Writes all formats beside their destination, checks that they agree, and only then moves them."""

import dataclasses
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import onnx

from ganad_tf.atomic_files import remove_unfinished, replace_file, write_json
from ganad_tf.data.splits import Splits
from ganad_tf.errors import ArtefactError, UsageError
from ganad_tf.folder_lock import locked
from ganad_tf.scoring import Detector

from . import onnx_model, saved_model
from .description import (
    FORMATS,
    describe_files,
    describe_int8,
    describe_signatures,
    describe_threshold,
    library_versions,
)
from .limits import MAX_AUROC_DROP
from .model_card import describe_model
from .model_card_text import CARD, render
from .parity import Row, compare, failures
from .quantize import Quantized, quantize
from .runtime import Scorer

DESCRIPTION = "export.json"
# On two cores 1.1 times as fast as float32 (`benchmarks.encoder_speed`), for more than half of an
# export's time. A generator alone gains a factor of two to three.
_NO_INT8 = (
    "with a pretrained encoder it is hardly faster than float32, and takes long to make; "
    "--formats saved_model,onnx,int8 writes it"
)
PATHS = {"onnx": "model.onnx", "int8": "model.int8.onnx"}

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Options:
    """How the formats are written.

    Args:
        version: of the SavedModel, at least 1; by default one above the highest that is there.
        opset: of the ONNX files, 13 to 20.
        model_name: as TensorFlow Serving will call the model.
        max_auroc_drop: allowed to int8, see `export.limits`.
    """

    version: int | None = None
    opset: int = onnx_model.OPSET
    model_name: str = "ganad"
    max_auroc_drop: float = MAX_AUROC_DROP


@dataclasses.dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Args:
        files: path of each format within the output folder.
        rows: the parity table of these formats.
        left_out: the reason for each format that was not written.
    """

    files: dict[str, str]
    rows: list[Row]
    left_out: dict[str, str]


@dataclasses.dataclass
class _Staged:
    """The formats in the temporary folder, before they are moved.

    Args:
        folder: the temporary folder.
        files: path within it of each format.
        left_out: the reason for each format that is not exported.
        plain: the converter's graph, from which both ONNX files are made.
        int8: how the int8 model was made.
    """

    folder: Path
    files: dict[str, str]
    left_out: dict[str, str]
    plain: onnx.ModelProto | None = None
    int8: Quantized | None = None

    def leave_out(self, name: str, reason: str) -> None:
        self.files.pop(name, None)
        self.left_out[name] = reason
        (self.folder / PATHS[name]).unlink(missing_ok=True)
        self.int8 = None


def export(
    detector: Detector,
    splits: Splits,
    output: Path,
    formats: tuple[str, ...] | None = None,
    options: Options | None = None,
) -> Exported:
    """Exports a detector: every format or, where they disagree, nothing.

    Only int8 may be missing, if no format was asked for by name: beside a pretrained encoder, and
    where it does not keep within its limits, it is left out, and export.json says why.

    Args:
        detector: of a finished run.
        splits: its images: training ones calibrate int8, validation ones choose int8's threshold
            and the operators that stay in float32, test ones compare the formats.
        output: the folder to write into; its name may hold any characters.
        formats: of `saved_model`, `onnx`, `int8`, each of which must succeed; by default all that
            do, int8 only without a pretrained encoder.
        options: see `Options`.

    Raises:
        UsageError: if the version exists, since servers rely on its never changing; or if another
            process writes to `output`.
        ArtefactError: if formats disagree; nothing is left behind then.
    """
    existed = output.exists()
    try:
        with locked(output):
            remove_unfinished(output)  # of killed exports
            return _export(detector, splits, output, formats, options or Options())
    finally:
        if not existed and output.is_dir() and not any(output.iterdir()):
            output.rmdir()


def _export(
    detector: Detector,
    splits: Splits,
    output: Path,
    formats: tuple[str, ...] | None,
    options: Options,
) -> Exported:
    wanted, left_out = _default_formats(detector) if formats is None else (formats, {})
    version = None
    if "saved_model" in wanted:
        version = options.version or _next_version(output)
    if version and (output / "saved_model" / str(version)).exists():
        raise UsageError(f"--version must be a new one. Received: {version}, which exists")
    temporary = Path(tempfile.mkdtemp(dir=output, prefix=".writing-"))
    try:
        staged = _Staged(temporary, {}, left_out)
        _write_floats(detector, splits, staged, wanted, version, options)
        if "int8" in wanted:
            _write_int8(splits, staged, options, optional=formats is None)
        if "onnx" not in wanted:
            (temporary / PATHS["onnx"]).unlink(missing_ok=True)
        rows = _agreeing(detector, splits, staged, options, optional=formats is None)
        description = _describe(detector, splits, staged, version, options, rows)
        # It comes back last, so that it never describes files of two exports.
        for name in (DESCRIPTION, CARD):
            (output / name).unlink(missing_ok=True)
        _move(staged, output)
        with replace_file(output / CARD) as card:
            card.write_text(render(description["model_card"], description), encoding="utf-8")
        write_json(output / DESCRIPTION, description)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Exported(staged.files, rows, staged.left_out)


def _default_formats(detector: Detector) -> tuple[tuple[str, ...], dict[str, str]]:
    """The formats to write if none is asked for, and the reason for each that is left out."""
    if detector.measurer.encoder is None:
        return FORMATS, {}
    return tuple(name for name in FORMATS if name != "int8"), {"int8": _NO_INT8}


def _write_floats(
    detector: Detector,
    splits: Splits,
    staged: _Staged,
    wanted: tuple[str, ...],
    version: int | None,
    options: Options,
) -> None:
    """Writes the SavedModel, if it has a version, and model.onnx, if it or int8 is wanted.

    One conversion serves both ONNX files.
    """
    if version:
        _LOGGER.info("writing the SavedModel")
        staged.files["saved_model"] = f"saved_model/{version}"
        saved_model.write(
            detector,
            staged.folder / staged.files["saved_model"],
            {**describe_threshold(detector, splits), "image_ranges": detector.image_ranges},
            options.model_name,
        )
    if {"onnx", "int8"} & set(wanted):
        _LOGGER.info("writing ONNX")
        staged.plain = onnx_model.convert(detector, options.opset)
        model = onnx_model.finish(staged.plain, detector, splits.fingerprint, splits.normal_name)
        onnx_model.save(model, staged.folder / PATHS["onnx"])
    if "onnx" in wanted:
        staged.files["onnx"] = PATHS["onnx"]


def _write_int8(splits: Splits, staged: _Staged, options: Options, optional: bool) -> None:
    assert staged.plain is not None  # _write_floats converted it
    floating = Scorer(staged.folder / PATHS["onnx"])
    staged.files["int8"] = PATHS["int8"]
    try:
        staged.int8 = quantize(
            staged.plain,
            floating.metadata,
            splits.train,
            splits.validation,
            floating,
            staged.folder / PATHS["int8"],
            options.max_auroc_drop,
        )
    except ArtefactError as error:
        if not optional:
            raise
        staged.leave_out("int8", str(error))


def _agreeing(
    detector: Detector, splits: Splits, staged: _Staged, options: Options, optional: bool
) -> list[Row]:
    """The parity table, after int8 has been left out if it may and must be.

    Raises:
        ArtefactError: if a format disagrees that may not be left out.
    """
    _LOGGER.info("comparing the formats on %s test images", f"{len(splits.test):,}")
    test = splits.test
    rows = compare(detector, test.images, test.is_anomaly, staged.folder, staged.files)
    int8 = [row for row in rows if row.tolerance is None]
    others = [row for row in rows if row.tolerance is not None]
    wrong = failures(others, options.max_auroc_drop)
    int8_wrong = failures([rows[0], *int8], options.max_auroc_drop)
    if int8_wrong and not optional:
        wrong += [*int8_wrong, "without --formats, int8 alone would be left out"]
    if wrong:
        raise ArtefactError("; ".join(wrong))
    if int8_wrong:
        staged.leave_out("int8", "; ".join(int8_wrong))
        return others
    return rows


def _move(staged: _Staged, output: Path) -> None:
    for path in staged.files.values():
        (output / path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(staged.folder / path, output / path)
    for name, path in PATHS.items():
        # An earlier export's file would look as if it belonged to this one.
        if name not in staged.files and (output / path).exists():
            _LOGGER.warning("%s, of an earlier export, is removed", output / path)
            (output / path).unlink()


def _next_version(output: Path) -> int:
    folder = output / "saved_model"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return max([int(name) for name in names if name.isdecimal()], default=0) + 1


def _describe(
    detector: Detector,
    splits: Splits,
    staged: _Staged,
    version: int | None,
    options: Options,
    rows: list[Row],
) -> dict[str, Any]:
    description = {
        **describe_threshold(detector, splits),
        "formats": staged.files,
        "left_out": staged.left_out,
        "version": version,
        "opset": options.opset,
        "signatures": describe_signatures(detector),
        "parity": [dataclasses.asdict(row) for row in rows],
        "files": describe_files(staged.folder, staged.files),
        "versions": library_versions(),
        "model_card": describe_model(detector, splits, rows, staged.int8),
    }
    if staged.int8 is not None:
        description |= describe_int8(staged.int8)
    return description
