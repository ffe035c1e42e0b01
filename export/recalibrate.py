"""Sets a model's threshold anew for new images: `python -m export.recalibrate MODEL NORMALS`."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ganad_tf.atomic_files import remove_unfinished
from ganad_tf.calibration.thresholds import conformal_threshold
from ganad_tf.command_names import command_name
from ganad_tf.environment import start_tensorflow
from ganad_tf.errors import ArtefactError, GanadError, UsageError, run_cli
from ganad_tf.folder_lock import locked
from ganad_tf.run_folder import DETECTOR, is_finished

from .new_images import (
    Measured,
    Measuring,
    check_apart,
    check_different,
    find_folder,
    measure,
)
from .recalibrated_model import Model
from .recalibration import Before, Fitted, fit, report
from .runtime import Progress, ScoringError, add_max_pixels_flag

DESCRIPTION = "Sets threshold, probability and map scale anew for new images, without training."
EPILOG = """\
NORMALS is a folder of normal images from where the model is used now: the new camera, light or
material. None of them may have been trained on, and they must be a fair sample, not the best ones.
The networks and the scores stay as they are, so the AUROC does, too. With 20 or more anomalies and
without --max-false-alarms, the threshold is the one of best F1; otherwise it promises at most a
share of false alarms (by default 5 %, or the lowest that so few images can promise).

A model is copied to --output, and the old file is never touched. The copy's metadata say where the
new values come from (`recalibrated`). With --run, the run itself is changed, and the next export
has the new values in every format; detector/from_training keeps the old ones.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the flags."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument(
        "model", nargs="?", type=Path, metavar="MODEL", help="model.onnx or model.int8.onnx"
    )
    parser.add_argument("normals", metavar="NORMALS", help="folder of new normal images")
    parser.add_argument("--run", type=Path, help="recalibrate this finished run, not a model")
    parser.add_argument("--anomalies", metavar="DIR", help="folder of new images with defects")
    parser.add_argument(
        "--max-false-alarms",
        type=float,
        metavar="A",
        help="promise at most this share of false alarms among normal images",
    )
    parser.add_argument("--output", type=Path, metavar="NEW", help="the new model file")
    add_max_pixels_flag(parser)


def parse(arguments: Sequence[str] | None, prog: str) -> argparse.Namespace:
    """Parses and checks the command line."""
    parser = argparse.ArgumentParser(
        prog=prog, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    configure(parser)
    # Intermixed: flags may stand between MODEL and NORMALS.
    flags = parser.parse_intermixed_args(arguments)
    if (flags.model is None) == (flags.run is None):
        received = "neither" if flags.model is None else "both"
        raise UsageError(
            f"expected MODEL and NORMALS, or --run RUN and NORMALS. Received: {received} "
            "of MODEL and --run"
        )
    if flags.max_pixels is not None and flags.max_pixels < 1:
        raise UsageError(f"--max-pixels must be at least 1. Received: {flags.max_pixels}")
    rate = flags.max_false_alarms
    if rate is not None and not 0 < rate < 1:
        raise UsageError(f"--max-false-alarms must be in (0, 1). Received: {rate:g}")
    if flags.run is not None and flags.output is not None:
        raise UsageError(
            f"--output must be left out with --run, which is changed itself. "
            f"Received: {flags.output}"
        )
    if flags.run is None:
        _check_output(flags.output, flags.model)
    return flags


def _check_output(output: Path | None, model: Path) -> None:
    if output is None:
        raise UsageError("--output must name the new model file. Received: none")
    if output.exists() and model.exists() and os.path.samefile(output, model):
        raise UsageError(f"--output must be another file than MODEL. Received: {output}")
    if output.exists() or output.is_symlink():
        raise UsageError(f"--output must be a new file. Received: {output}, which exists")


def main(
    arguments: Sequence[str] | None = None, prog: str = "python -m export.recalibrate"
) -> None:
    """The command."""
    flags = parse(arguments, prog)
    try:
        lines = recalibrate_run(flags) if flags.model is None else recalibrate_model(flags)
    except ScoringError as error:
        kind: type[GanadError] = UsageError if error.exit_code == 2 else ArtefactError
        raise kind(str(error)) from None
    print("\n".join(lines))


def recalibrate_model(flags: argparse.Namespace) -> list[str]:
    """Writes the copy of a model; returns lines that say what was done."""
    model = Model(flags.model, flags.max_pixels)
    fitted, normals = _fit(model, model.before, flags)
    model.write(fitted, flags.output, normals.sample)
    return [*report(fitted), f"written to {flags.output}"]


def recalibrate_run(flags: argparse.Namespace) -> list[str]:
    """Changes a run; returns lines that say what was done."""
    run = flags.run
    if not run.is_dir() or not (is_finished(run) and (run / DETECTOR).is_dir()):
        received = "an unfinished one" if run.is_dir() else "no such folder"
        raise ArtefactError(
            f"{run}: expected the folder of a finished run, as {command_name('train')} makes. "
            f"Received: {received}"
        )
    with ExitStack() as stack:
        stack.enter_context(locked(run))
        remove_unfinished(run)  # of killed processes
        start_tensorflow()
        # Imported late: models are recalibrated without TensorFlow.
        from .recalibrated_run import Run

        detector = Run(run, flags.max_pixels)
        fitted, _ = _fit(detector, detector.before, flags)
        detector.write(fitted)
    return [
        *report(fitted),
        f"written to {run / DETECTOR}; the next {command_name('export')} {run} carries it. "
        "metrics.json and report.html still describe the old threshold",
    ]


def _fit(
    measuring: Measuring, before: Before, flags: argparse.Namespace
) -> tuple[Fitted, Measured]:
    """Measures the images and fits to them."""
    normal_paths = find_folder(flags.normals, "NORMALS")
    anomaly_paths = [] if flags.anomalies is None else find_folder(flags.anomalies, "--anomalies")
    check_apart(normal_paths, anomaly_paths)
    if flags.max_false_alarms is not None:
        # Refused now rather than after all images have been scored.
        conformal_threshold(np.zeros(len(normal_paths)), flags.max_false_alarms)
    with Progress(len(normal_paths) + len(anomaly_paths), quiet=False) as progress:
        normals = measure(measuring, normal_paths, True, progress.step)
        anomalies = None
        if anomaly_paths:
            anomalies = measure(measuring, anomaly_paths, False, progress.step)
            check_different(normals, anomalies)
    return fit(before, normals, anomalies, flags.max_false_alarms), normals


if __name__ == "__main__":
    sys.exit(run_cli(main))
