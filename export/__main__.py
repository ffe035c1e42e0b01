"""Exports a finished run: `python -m export RUN`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ganad_tf.console import log_to_console
from ganad_tf.environment import start_tensorflow
from ganad_tf.errors import CommandParser, UsageError, run_cli

from .description import FORMATS
from .keep_float import MAX_TRIES
from .limits import LIMITS, MAX_AUROC_DROP, check_max_auroc_drop
from .run import add_source_flags, load_run

DESCRIPTION = "Exports a finished run, and checks that all files score alike."
EPILOG = f"""\
Written under the run: saved_model/VERSION/ for TensorFlow Serving, model.onnx and model.int8.onnx
for ONNX Runtime (`ganad score`), and export.json with hashes and the parity table. Nothing is
written if a format does not agree with Keras on the test set. Without --formats, int8 is left out
beside a pretrained encoder, where it is hardly faster, and where it misses its limits; export.json
says why. Asked for by name, it is written, and must keep its limits.

{LIMITS}
int8 keeps those operators in float32 that would cost too much accuracy, as validation images tell;
export.json lists them. Finding them takes at most {MAX_TRIES} quantisations, a few seconds each.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the flags."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("run", type=Path, help="the folder of a finished training run")
    parser.add_argument("--output", type=Path, help="where to write (default: RUN)")
    parser.add_argument(
        "--formats",
        help=f"comma-separated, of {', '.join(FORMATS)} (default: all, int8 only without a "
        "pretrained encoder and within its limits)",
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
        "--max-auroc-drop",
        type=float,
        default=MAX_AUROC_DROP,
        help=f"allowed to int8 (default: {MAX_AUROC_DROP})",
    )
    add_source_flags(parser)


def parse(arguments: Sequence[str] | None, prog: str) -> argparse.Namespace:
    """Parses the command line."""
    parser = CommandParser(prog)
    configure(parser)
    flags = parser.parse_args(arguments)
    if flags.formats is not None:
        names = tuple(name.strip() for name in flags.formats.split(",") if name.strip())
        if not names or not set(names) <= set(FORMATS):
            raise UsageError(
                f"--formats must be among {', '.join(FORMATS)}. Received: {flags.formats!r}"
            )
        flags.formats = names
    if not 13 <= flags.opset <= 20:
        raise UsageError(f"--opset must be in 13..20. Received: {flags.opset}")
    check_max_auroc_drop(flags.max_auroc_drop)
    formats = flags.formats or FORMATS
    if flags.version is not None and "saved_model" not in formats:
        raise UsageError(
            "--version numbers the SavedModel, which --formats leaves out. "
            f"Received: --version {flags.version} --formats {','.join(formats)}"
        )
    if flags.version is not None and flags.version < 1:
        raise UsageError(f"--version must be at least 1. Received: {flags.version}")
    return flags


def main(arguments: Sequence[str] | None = None, prog: str = "python -m export") -> None:
    """The command."""
    flags = parse(arguments, prog)
    # Imported late: --help and usage errors should not wait for TensorFlow.
    log_to_console()
    start_tensorflow()
    detector, splits = load_run(flags.run, flags)
    from .parity import table
    from .pipeline import Options, export

    output = flags.output or flags.run
    options = Options(flags.version, flags.opset, flags.model_name, flags.max_auroc_drop)
    exported = export(detector, splits, output, flags.formats, options)
    print(table(exported.rows))
    for name, reason in exported.left_out.items():
        print(f"left out {name}: {reason}")
    print(f"written to {output}")


if __name__ == "__main__":
    sys.exit(run_cli(main))
