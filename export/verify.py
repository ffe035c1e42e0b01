"""Scores test images through every exported format and compares: `python -m export.verify RUN`."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganad_tf.atomic_files import read_json
from ganad_tf.command_names import command_name
from ganad_tf.console import log_to_console
from ganad_tf.environment import start_tensorflow
from ganad_tf.errors import ArtefactError, CommandParser, run_cli

from .description import describe_files
from .limits import LIMITS, MAX_AUROC_DROP, check_max_auroc_drop
from .run import add_source_flags, load_run

DESCRIPTION = "Scores test images through every exported format, and compares."


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the flags."""
    parser.description, parser.epilog = DESCRIPTION, LIMITS
    parser.add_argument("run", type=Path, help="the run folder, already exported")
    parser.add_argument("--output", type=Path, help="where it was exported to (default: RUN)")
    parser.add_argument(
        "--max-auroc-drop",
        type=float,
        default=MAX_AUROC_DROP,
        help=f"allowed to int8 (default: {MAX_AUROC_DROP})",
    )
    add_source_flags(parser)


def check_files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Checks that exported files are what they were when they were written.

    Args:
        folder: where they were exported to.
        files: of export.json; exports of earlier versions have none.

    Raises:
        ArtefactError: naming the first that is missing or has changed.
    """
    found = describe_files(folder, {name: name for name in files})
    for name, known in files.items():
        if name not in found:
            raise ArtefactError(
                f"{folder / name}: expected the exported file. Received: no such file"
            )
        digest = found[name]["sha256"]
        if digest != known["sha256"]:
            raise ArtefactError(
                f"{folder / name}: expected the exported file, SHA-256 {known['sha256'][:12]}. "
                f"Received: {digest[:12]}, another file"
            )


def main(arguments: Sequence[str] | None = None, prog: str = "python -m export.verify") -> int:
    """The command."""
    parser = CommandParser(prog)
    configure(parser)
    flags = parser.parse_args(arguments)
    check_max_auroc_drop(flags.max_auroc_drop)
    folder = flags.output or flags.run
    if not (folder / "export.json").is_file():
        raise ArtefactError(
            f"{folder}: expected an exported run ({command_name('export')} {flags.run}). "
            "Received: no export.json"
        )
    described = read_json(folder / "export.json")
    files = described["formats"]
    check_files(folder, described.get("files", {}))
    log_to_console()
    start_tensorflow()
    detector, splits = load_run(flags.run, flags)
    # Imported late: usage errors should not wait for TensorFlow and ONNX Runtime.
    from .parity import compare, failures, table

    rows = compare(detector, splits.test.images, splits.test.is_anomaly, folder, files)
    print(table(rows))
    wrong = failures(rows, flags.max_auroc_drop)
    for sentence in wrong:
        print(f"error: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(run_cli(main))
