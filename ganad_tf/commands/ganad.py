"""The command `ganad`: finds the module of a subcommand and hands it the rest of the command line.

A module is imported when its subcommand is called, so `ganad --help` waits for nothing. Each has

- `configure(parser)`: adds its description and its flags, without importing TensorFlow;
- `main(arguments, prog)`: runs it and returns an exit code, or None for success.
"""

import functools
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

from ganad_tf import __version__
from ganad_tf.errors import UsageError, run_cli


class Command(NamedTuple):
    """One subcommand.

    Args:
        module: where it is defined.
        help: one line for `ganad --help`.
        extra: the extra of `ganad_tf` that it needs, if any.
    """

    module: str
    help: str
    extra: str | None = None

    def load(self) -> ModuleType:
        """Imports the module."""
        return importlib.import_module(self.module)


COMMANDS = {
    "train": Command("ganad_tf.commands.train", "learn from images; write a run folder, a report"),
    "export": Command("ganad_tf.export.__main__", "write a run as ONNX and SavedModel, compared"),
    "verify": Command("ganad_tf.export.verify", "compare the exported files again"),
    "score": Command("ganad_tf.export.runtime", "score images with an exported model"),
    "batch": Command(
        "ganad_tf.export.batch.__main__", "score millions of images on many cores", "scale"
    ),
    "serve-client": Command(
        "ganad_tf.export.serving.client", "score images through TensorFlow Serving", "serving"
    ),
    "recalibrate": Command(
        "ganad_tf.export.recalibrate", "set a threshold anew for new images, learn from corrections"
    ),
    "web": Command("ganad_tf.export.web.__main__", "write a site that scores in the browser"),
    "completion": Command(
        "ganad_tf.commands.completion", "print the shell's completion script", "completion"
    ),
}

HELP = """\
usage: ganad COMMAND ...

Finds anomalous images: learns from normal ones, and from anomalies as far as there are any.

a first run, on sneakers of Fashion-MNIST:
  ganad train --normal 7                  trains and writes runs/fashion_mnist-sneaker/report.html
  ganad export runs/fashion_mnist-sneaker

your own images, in photos/normal and, if there are any, photos/anomaly:
  ganad train --data photos               trains, chooses a threshold, writes runs/photos
  ganad export runs/photos                writes model.onnx and others, and checks their scores
  ganad score runs/photos/model.onnx new  a line for each image: path, decision, score, probability

commands:
{commands}

`ganad COMMAND --help` explains a command and its flags; `ganad --version` prints the version.
"""


def help_text() -> str:
    """What `ganad --help` prints: at most one screen."""
    lines = []
    for name, command in COMMANDS.items():
        needs = f" (needs ganad_tf[{command.extra}])" if command.extra else ""
        lines.append(f"  {name:<13} {command.help}{needs}")
    return HELP.format(commands="\n".join(lines))


def run(arguments: Sequence[str]) -> int | None:
    """Runs a subcommand.

    Args:
        arguments: the command line after `ganad`.

    Returns:
        The exit code, or None for success.

    Raises:
        UsageError: if there is no such subcommand.
    """
    if not arguments:
        print(help_text(), end="", file=sys.stderr)
        return UsageError.exit_code
    name, *rest = arguments
    if name in ("-h", "--help", "help"):
        print(help_text(), end="")
        return None
    if name == "--version":
        print(f"ganad_tf {__version__}")
        return None
    if name not in COMMANDS:
        import difflib

        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UsageError(f"COMMAND must be one of {', '.join(COMMANDS)}. Received: {name}{hint}")
    return COMMANDS[name].load().main(rest, f"ganad {name}")


def main() -> int:
    """The command."""
    return run_cli(functools.partial(run, sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
