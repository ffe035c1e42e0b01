"""Prints a shell's completion script: `ganad completion bash`.

The script holds all flags, so that completing waits for no Python process.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ganad_tf.commands.ganad import COMMANDS
from ganad_tf.errors import CommandParser, UsageError

SHELLS = ("bash", "zsh", "tcsh")
EPILOG = """\
examples:
  mkdir -p ~/.local/share/bash-completion/completions
  %(prog)s bash > ~/.local/share/bash-completion/completions/ganad
  %(prog)s zsh > "${fpath[1]}/_ganad"

Needs the extra `completion`: pip install 'ganad_tf[completion]'. Write the script again after an
update of ganad_tf.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the flags."""
    parser.description = "Prints the script that completes `ganad` in a shell."
    parser.epilog = EPILOG
    parser.add_argument("shell", choices=SHELLS, help="the shell that will read the script")


def full_parser() -> argparse.ArgumentParser:
    """One parser of all subcommands and their flags."""
    parser = argparse.ArgumentParser(prog="ganad", allow_abbrev=False)
    parser.add_argument("--version", action="store_true", help="print the version")
    subparsers = parser.add_subparsers(metavar="COMMAND")
    for name, command in COMMANDS.items():
        module = sys.modules[__name__] if command.module == __name__ else command.load()
        module.configure(subparsers.add_parser(name, help=command.help))
    return parser


def _complete_files(parser: argparse.ArgumentParser, file: object) -> None:
    """Lets arguments that are paths, or free text without choices, be completed to file names."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                _complete_files(subparser, file)
        elif action.nargs != 0 and not action.choices and action.type in (None, str, Path):
            action.complete = file  # type: ignore[attr-defined]


def main(arguments: Sequence[str] | None = None, prog: str = "ganad completion") -> None:
    """The command."""
    parser = CommandParser(prog)
    configure(parser)
    flags = parser.parse_args(arguments)
    try:
        import shtab
    except ImportError:
        raise UsageError(
            "ganad completion needs the extra `completion`: pip install 'ganad_tf[completion]'. "
            "Received: no module shtab"
        ) from None
    complete = full_parser()
    _complete_files(complete, shtab.FILE)
    print(shtab.complete(complete, flags.shell))
