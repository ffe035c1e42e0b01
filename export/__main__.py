"""Exports a finished run: `python -m export RUN`."""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from ganad_tf.errors import ArtefactError, UsageError, run_cli

FORMATS = ("saved_model", "onnx", "int8")
EPILOG = """\
Written under the run: saved_model/VERSION/ for TensorFlow Serving, model.onnx and model.int8.onnx
for ONNX Runtime (export/runtime.py), and export.json with hashes and the parity table. Nothing is
written if a format does not agree with Keras on the test set.
"""


def add_source_flags(parser: argparse.ArgumentParser) -> None:
    """Where the images come from, as in train.py."""
    parser.add_argument("--data-dir", type=Path, help="where TFDS keeps prepared data")
    parser.add_argument("--idx-dir", type=Path, help="folder with Fashion-MNIST's four IDX files")


def load_run(run: Path, flags: argparse.Namespace):
    """Loads a finished run's detector and the very images it was made with.

    Returns:
        `(Detector, Splits)`.

    Raises:
        ArtefactError: if the run is missing or unfinished, or the images are others.
    """
    from ganad_tf.experiment import Source, load_splits
    from ganad_tf.run_folder import check_same_split, is_finished, load_config
    from ganad_tf.scoring import Detector
    from ganad_tf.training.devices import use_true_float32

    if not run.is_dir():
        raise ArtefactError(f"{run}: expected a run folder of train.py. Received: no such folder")
    config = load_config(run)
    if not is_finished(run):
        raise ArtefactError(
            f"{run}: expected a finished run (train.py --resume finishes it). "
            "Received: no metrics.json"
        )
    use_true_float32()
    detector = Detector.load(run)
    splits = load_splits(config, Source(flags.data_dir, flags.idx_dir))
    check_same_split(run, splits.fingerprint)
    return detector, splits


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="a finished run folder of train.py")
    parser.add_argument("--output", type=Path, help="where to write (default: RUN)")
    parser.add_argument(
        "--formats",
        default=",".join(FORMATS),
        help=f"comma-separated, of {', '.join(FORMATS)} (default: all; int8 needs no onnx)",
    )
    parser.add_argument(
        "--opset", type=int, default=18, help="of the ONNX files, 13 to 20 (default: 18)"
    )
    parser.add_argument(
        "--version", type=int, help="of the SavedModel (default: one above the highest there)"
    )
    parser.add_argument(
        "--model-name", default="ganad", help="as in serving/models.config (default: ganad)"
    )
    parser.add_argument(
        "--max-auroc-drop", type=float, default=0.001, help="allowed to int8 (default: 0.001)"
    )
    add_source_flags(parser)
    flags = parser.parse_args(arguments)
    flags.formats = tuple(name.strip() for name in flags.formats.split(",") if name.strip())
    if not flags.formats or not set(flags.formats) <= set(FORMATS):
        raise UsageError(
            f"--formats must be among {', '.join(FORMATS)}. Received: {','.join(flags.formats)!r}"
        )
    if not 13 <= flags.opset <= 20:
        raise UsageError(f"--opset must be in 13..20. Received: {flags.opset}")
    if flags.version is not None and flags.version < 1:
        raise UsageError(f"--version must be at least 1. Received: {flags.version}")
    return flags


def main() -> None:
    flags = parse()
    # Imported late: --help and usage errors should not wait for TensorFlow.
    from export.pipeline import export
    from export.verify import table

    detector, splits = load_run(flags.run, flags)
    rows = export(
        detector,
        splits,
        flags.output or flags.run,
        flags.formats,
        version=flags.version,
        opset=flags.opset,
        model_name=flags.model_name,
        most_auroc_drop=flags.max_auroc_drop,
    )
    print(table(rows))
    print(f"written to {flags.output or flags.run}")


if __name__ == "__main__":
    sys.exit(run_cli(main))
