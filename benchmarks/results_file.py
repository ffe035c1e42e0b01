"""Where benchmarks keep their results, with the machine and the versions of each."""

import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from ganad_tf import __version__
from ganad_tf.atomic_files import read_json, write_json
from ganad_tf.errors import UsageError

RESULTS = Path(__file__).parent / "results"
Cell = TypeVar("Cell")


def kept(name: str) -> dict | None:
    """The contents of `benchmarks/results/<name>.json`; None if it is not there."""
    path = RESULTS / f"{name}.json"
    return read_json(path) if path.exists() else None


def kept_with(name: str, setting: str, value: int, usual: int) -> dict | None:
    """As `kept`, for results that depend on a setting which their name does not say.

    Args:
        name: of the results.
        setting: the flag's name; it stands in the results under this name.
        value: what it is now.
        usual: what it was in results that do not say it.

    Raises:
        UsageError: if the results were made with another value.
    """
    found = kept(name)
    if found is not None and found.get(setting, usual) != value:
        raise UsageError(
            f"--{setting} must be {found.get(setting, usual)}, as in the results that are kept; "
            f"remove {RESULTS / name}.json to begin anew. Received: {value}"
        )
    return found


def missing_cells(
    cells: Sequence[Cell], name: Callable[[Cell], str], anew: bool = False
) -> list[Cell]:
    """The cells without results, and a line that says how many have some.

    Args:
        cells: all that were asked for.
        name: of a cell's results, as in `kept`.
        anew: run all of them.
    """
    missing = [cell for cell in cells if anew or not (RESULTS / f"{name(cell)}.json").exists()]
    print(f"{len(cells)} cells, {len(cells) - len(missing)} kept already", flush=True)
    return missing


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean, or None if one of the values was not measured."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def all_kept(pattern: str) -> list[dict]:
    """The contents of all files `benchmarks/results/<pattern>.json`, by name."""
    return [read_json(path) for path in sorted(RESULTS.glob(f"{pattern}.json"))]


def save(name: str, values: dict) -> Path:
    """Writes `benchmarks/results/<name>.json`: the values, the machine and the versions."""
    path = RESULTS / f"{name}.json"
    write_json(path, described(values))
    return path


def described(values: dict) -> dict:
    """The values with the machine, the date, the revision and the versions beside them."""
    packages = ("tensorflow", "keras", "numpy", "scikit-learn")
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "ganad_tf": __version__,
        "revision": revision(),
        "versions": {package: version(package) for package in packages},
    }
    return {**values, "about": about}


def revision() -> str | None:
    """Which commit the code is at, marked `-dirty` if changed since; None outside a checkout.

    New results change no code, so they are passed over.
    """
    changes = "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results"
    try:
        commit, changed = _git("rev-parse", "--short=12", "HEAD"), _git(*changes)
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}-dirty" if changed else commit


def _git(*arguments: str) -> str:
    root = Path(__file__).parents[1]
    return subprocess.run(
        ["git", *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()
