"""Errors of which the user sees one clear line, and their exit codes."""

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn


class GanadError(Exception):
    """Base of every error that is the input's fault, not the program's. Exit code 1."""

    exit_code = 1


class UsageError(GanadError):
    """A flag or argument cannot be used. Exit code 2, as in argparse."""

    exit_code = 2


class DataError(GanadError):
    """Images, labels or a data folder cannot be used as they are. Exit code 1."""


class ArtefactError(GanadError):
    """A run folder, checkpoint or exported model is missing, unfinished or damaged. Exit code 1."""


class TrainingError(GanadError):
    """Training itself failed, for example because a loss became infinite. Exit code 1."""


class Interrupted(GanadError):
    """The user pressed Ctrl-C; the message says how to resume. Exit code 130, as in shells."""

    exit_code = 130


class CommandParser(argparse.ArgumentParser):
    """The parser of a command. Flags are written out, and descriptions keep their lines.

    Args:
        prog: how the command is started.
    """

    def __init__(self, prog: str):
        raw = argparse.RawDescriptionHelpFormatter
        super().__init__(prog=prog, formatter_class=raw, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Tells of a wrong flag in one line; the usage of all flags would bury it.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{message}; see {self.prog} --help")


def check_positive(flags: argparse.Namespace, *names: str) -> None:
    """Checks flags that count something; those that are left out stay None.

    Raises:
        UsageError: naming the first that is below 1.
    """
    for name in names:
        value = getattr(flags, name)
        if value is not None and value < 1:
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} must be at least 1. Received: {value}")


def run_cli(main: Callable[[], int | None]) -> int:
    """Runs a command's `main` and turns expected errors into one line on stderr.

    Args:
        main: the command; returns an exit code or `None` for success.

    Returns:
        The exit code: the command's own, `GanadError.exit_code`, 1 for an operating-system
        error (disk full, permission denied) and 130 when interrupted.
    """
    try:
        return main() or 0
    except GanadError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
