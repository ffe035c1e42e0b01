"""Sets a model's threshold anew for new images: `python -m export.recalibrate MODEL NORMALS`."""

import argparse
import dataclasses
import json
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
from ganad_tf.errors import (
    ArtefactError,
    CommandParser,
    GanadError,
    UsageError,
    check_positive,
    run_cli,
)
from ganad_tf.folder_lock import locked
from ganad_tf.run_folder import DETECTOR, is_finished

from .calibrated_graph import RECALIBRATED
from .corrections import Corrections, read_corrections
from .label_next import describe_next
from .new_images import (
    Measuring,
    check_apart,
    check_different,
    find_folder,
    measure,
    with_stored_scores,
)
from .recalibrated_model import Model
from .recalibration import Before, Fitted, fit, report
from .run import add_source_flags
from .runtime import Progress, ScoringError, add_max_pixels_flag, share

DESCRIPTION = "Sets threshold, probability and map scale anew for new images, without training."
EPILOG = """\
NORMALS is a folder of normal images from where the model is used now: the new camera, light or
material. None of them may have been trained on, and they must be a fair sample, not the best ones.
The networks and the scores stay as they are, so the AUROC does, too. With 20 or more anomalies and
without --max-false-alarms, the threshold is the one of best F1; otherwise it promises at most a
share of false alarms (by default 5 %, or the lowest that so few images can promise).

--corrections FILE.csv has the columns path and label (normal or anomaly): decisions that a person
overruled. The table of `score --csv` with one more column will do: of its lines without a label,
the report names those whose label would teach most. With a MODEL, corrections enter the threshold
and the probability; NORMALS may be left out, and the normal scores of the model are kept. When the
table has grown, give the model without corrections again. What labelled defects look like can only
be learnt with --run: the direction from normal images to labelled anomalies is then fitted again,
in closed form, which changes the scores. That needs TensorFlow and the run's images.

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
    parser.add_argument("normals", nargs="?", metavar="NORMALS", help="folder of new normal images")
    parser.add_argument("--run", type=Path, help="recalibrate this finished run, not a model")
    parser.add_argument("--anomalies", metavar="DIR", help="folder of new images with defects")
    parser.add_argument(
        "--corrections",
        type=Path,
        metavar="CSV",
        help="path,label of images that a person judged; with --run the score learns from them",
    )
    parser.add_argument(
        "--max-false-alarms",
        type=share,
        metavar="A",
        help="promise at most this share of false alarms among normal images",
    )
    parser.add_argument("--output", type=Path, metavar="NEW", help="the new model file")
    add_max_pixels_flag(parser)
    add_source_flags(parser)  # of the run, for --run with --corrections


def parse(arguments: Sequence[str] | None, prog: str) -> argparse.Namespace:
    """Parses and checks the command line."""
    parser = CommandParser(prog)
    configure(parser)
    # Intermixed: flags may stand between MODEL and NORMALS.
    flags = parser.parse_intermixed_args(arguments)
    if flags.run is not None and flags.normals is None and flags.model is not None:
        flags.model, flags.normals = None, str(flags.model)
    if (flags.model is None) == (flags.run is None):
        received = "neither" if flags.model is None else "both"
        raise UsageError(
            f"expected MODEL and NORMALS, or --run RUN and NORMALS. Received: {received} "
            "of MODEL and --run"
        )
    if flags.normals is None and flags.corrections is None:
        raise UsageError(
            "expected MODEL and NORMALS, or --run RUN and NORMALS; with --corrections, NORMALS "
            "may be left out. Received: no NORMALS"
        )
    if flags.run is not None and flags.normals is None and flags.anomalies is not None:
        raise UsageError(
            "--anomalies must be left out with --run and without NORMALS; list them in "
            f"--corrections. Received: {flags.anomalies}"
        )
    for name in ("data", "data_dir", "idx_dir"):
        value = getattr(flags, name)
        if value is not None and (flags.run is None or flags.corrections is None):
            raise UsageError(
                f"--{name.replace('_', '-')} must be left out without --run and --corrections. "
                f"Received: {value}"
            )
    check_positive(flags, "max_pixels")
    rate = flags.max_false_alarms
    if rate is not None and not 0 < rate < 1:
        raise UsageError(f"--max-false-alarms must be in (0, 1). Received: {rate:g}")
    if flags.run is not None and flags.output is not None:
        raise UsageError(
            f"--output must be left out with --run, which is changed itself. "
            f"Received: {flags.output}"
        )
    if flags.run is None:
        _check_model(flags.model)
        _check_output(flags.output, flags.model)
    return flags


def _check_model(model: Path) -> None:
    if not model.is_dir():
        return
    hint = f"--run {model} recalibrates a run" if is_finished(model) else "name a file in it"
    raise UsageError(f"MODEL must be a model file. Received: {model}, a folder; {hint}")


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
    corrections = None if flags.corrections is None else read_corrections(flags.corrections)
    try:
        if flags.model is None:
            lines = recalibrate_run(flags, corrections)
        else:
            lines = recalibrate_model(flags, corrections)
    except ScoringError as error:
        kind: type[GanadError] = UsageError if error.exit_code == 2 else ArtefactError
        raise kind(str(error)) from None
    print("\n".join(lines))


def recalibrate_model(flags: argparse.Namespace, corrections: Corrections | None) -> list[str]:
    """Writes the copy of a model; returns lines that say what was done."""
    model = Model(flags.model, flags.max_pixels)
    stored = None
    if flags.normals is None:
        _check_uncorrected(model, flags.model)
        stored = model.scorer.normal_scores
    fitted, sample = _fit(model, model.before, flags, corrections, stored)
    model.write(fitted, flags.output, sample)
    lines = [*report(fitted), f"written to {flags.output}"]
    if corrections is not None:
        lines += describe_next(model, corrections, fitted.slope, fitted.intercept)
    return lines


def _check_uncorrected(model: Model, path: Path) -> None:
    """Refuses a model whose stored normal scores hold corrections: they would count twice."""
    record = json.loads(model.scorer.metadata.get(RECALIBRATED, "{}"))
    if "corrections" in record:
        raise UsageError(
            "expected, without NORMALS, a model that was not corrected yet, because corrections "
            "would count twice: give the model that it came from, and the whole table. "
            f"Received: {path}, corrected at {record['date']}"
        )


def recalibrate_run(flags: argparse.Namespace, corrections: Corrections | None) -> list[str]:
    """Changes a run; returns lines that say what was done."""
    run = flags.run
    if not is_finished(run):
        raise _not_finished(run)
    with ExitStack() as stack:
        stack.enter_context(locked(run))
        remove_unfinished(run)  # of killed processes; the detector may come back by it
        if not (run / DETECTOR).is_dir():
            raise _not_finished(run)
        start_tensorflow()
        # Imported late: models are recalibrated without TensorFlow.
        if corrections is None:
            from .recalibrated_run import Run

            detector = Run(run, flags.max_pixels)
            fitted, _ = _fit(detector, detector.before, flags)
            detector.write(fitted)
            lines = report(fitted)
        else:
            from .corrected_run import CorrectedRun

            corrected = CorrectedRun(run, flags, corrections)
            corrected.learn()
            slope = corrected.detector.scorer.slope
            intercept = corrected.detector.scorer.intercept
            if flags.normals is None:
                corrected.write_learnt()
                lines = corrected.report()
            else:
                # Anomalies that were learnt from do not count as new ones.
                kept = dataclasses.replace(corrections, anomaly=corrected.not_learnt)
                fitted, _ = _fit(corrected, corrected.before, flags, kept)
                corrected.write(fitted)
                lines = [*corrected.report(fitted), *report(fitted)]
                slope, intercept = fitted.slope, fitted.intercept
            lines += describe_next(corrected, corrections, slope, intercept)
    return [
        *lines,
        f"written to {run / DETECTOR}; the next {command_name('export')} {run} carries it. "
        "metrics.json and report.html still describe the old threshold",
    ]


def _not_finished(run: Path) -> ArtefactError:
    received = "an unfinished one" if run.is_dir() else "no such folder"
    return ArtefactError(
        f"{run}: expected the folder of a finished run, as {command_name('train')} makes. "
        f"Received: {received}"
    )


def _fit(
    measuring: Measuring,
    before: Before,
    flags: argparse.Namespace,
    corrections: Corrections | None = None,
    stored: np.ndarray | None = None,
) -> tuple[Fitted, np.ndarray]:
    """Measures the images and fits to them.

    Args:
        measuring: the model or run.
        before: its calibration.
        flags: the parsed command line.
        corrections: their images count as normal ones and as anomalies.
        stored: normal scores that stand for NORMALS.

    Returns:
        The calibration, and some of the images.
    """
    normal_paths = [] if flags.normals is None else find_folder(flags.normals, "NORMALS")
    anomaly_paths = [] if flags.anomalies is None else find_folder(flags.anomalies, "--anomalies")
    if corrections is not None:
        normal_paths += corrections.normal
        anomaly_paths += corrections.anomaly
    check_apart(normal_paths, anomaly_paths)
    if flags.max_false_alarms is not None:
        # Refused now rather than after all images have been scored.
        count = len(normal_paths) + (0 if stored is None else len(stored))
        conformal_threshold(np.zeros(count), flags.max_false_alarms)
    normals = anomalies = None
    with Progress(len(normal_paths) + len(anomaly_paths), quiet=False) as progress:
        if normal_paths:
            normals = measure(measuring, normal_paths, stored is None, progress.step)
        if anomaly_paths:
            anomalies = measure(measuring, anomaly_paths, False, progress.step)
    if normals and anomalies:
        check_different(normals.digests, anomalies.digests)
    some = normals or anomalies
    assert some is not None  # there are NORMALS or corrections
    if stored is not None:
        normals = with_stored_scores(normals, stored)
    assert normals is not None
    fitted = fit(before, normals, anomalies, flags.max_false_alarms)
    if corrections is not None:
        fitted.record["corrections"] = corrections.to_dict()
        fitted.record["stored_normal_scores"] = 0 if stored is None else len(stored)
    return fitted, some.sample


if __name__ == "__main__":
    sys.exit(run_cli(main))
