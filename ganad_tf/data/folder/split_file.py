"""Who of a folder's images is learnt from, who is held out, and the file that says so."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganad_tf.atomic_files import replace_file
from ganad_tf.errors import DataError

PARTS = ("train", "validation", "test", "unused")
_COLUMNS = ["path", "kind", "label", "part"]


@dataclass(frozen=True)
class SplitEntry:
    """One image's line in a split file.

    Args:
        path: relative to the data folder, with slashes.
        kind: as `ganad_tf.data.folder.layout` names it.
        is_anomaly: its label.
        part: `train`, `validation`, `test` or `unused`.
    """

    path: str
    kind: str
    is_anomaly: bool
    part: str


def draw_parts(
    kinds: np.ndarray,
    looks: np.ndarray,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
) -> np.ndarray:
    """Splits images at random, every kind in proportion, equal images always together.

    Args:
        kinds: int [N], 0 for normal images, others for kinds of anomalies.
        looks: str [N], equal for equal images.
        validation_fraction: share of what is not test, normal and anomalous ones apart.
        test_fraction: share of all, likewise; 0 for no test part.
        seed: of the draw. The order of the images does not matter.

    Returns:
        str [N], the parts. Of normal images and of anomalies, each part gets at least one. Where
        there are too few different anomalies for that, all of them are for testing, or, with no
        test part, unused.

    Raises:
        DataError: if there are too few different normal images.
    """
    names, group = np.unique(looks, return_inverse=True)
    group_kinds = np.zeros(len(names), np.int64)
    np.maximum.at(group_kinds, group, kinds)
    # A group with both labels, different pictures that look alike when they are small, goes with
    # the anomalies: it then cannot be a part's only normal images.
    sizes = np.bincount(group, minlength=len(names))
    rng = np.random.default_rng(seed)
    parts = np.full(len(names), "train", "U10")
    needed = 3 if test_fraction else 2
    for label in (False, True):
        chosen = np.flatnonzero((group_kinds > 0) == label)
        if len(chosen) < needed:
            if not label:
                raise DataError(
                    f"expected at least {needed} different normal images, one for each part. "
                    f"Received: {len(chosen)}"
                )
            parts[chosen] = "test" if test_fraction else "unused"
            continue
        chosen = chosen[_interleaved(group_kinds[chosen], rng)]
        total = sizes[chosen].sum()
        middles = np.cumsum(sizes[chosen]) - sizes[chosen] / 2
        for_test = round(test_fraction * total)
        for_validation = round(validation_fraction * (total - for_test))
        end = start = 0
        if test_fraction:
            start = int(np.clip(np.searchsorted(middles, for_test), 1, len(chosen) - 2))
        end = np.searchsorted(middles, for_test + for_validation)
        end = int(np.clip(end, start + 1, len(chosen) - 1))
        parts[chosen[:start]] = "test"
        parts[chosen[start:end]] = "validation"
    return parts[group]


def _interleaved(kinds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order of which every stretch holds each kind in proportion, give or take one."""
    places = np.empty(len(kinds))
    for kind in np.unique(kinds):
        members = np.flatnonzero(kinds == kind)
        places[members] = (rng.permutation(len(members)) + rng.random()) / len(members)
    return np.argsort(places)


def write_split(entries: Sequence[SplitEntry], path: Path) -> None:
    """Writes a split file: CSV in UTF-8 with the columns path, kind, label and part."""
    with (
        replace_file(path) as temporary,
        # Names on disk need not be UTF-8.
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for entry in entries:
            label = "anomaly" if entry.is_anomaly else "normal"
            writer.writerow([entry.path, entry.kind, label, entry.part])


def read_split(path: Path) -> list[SplitEntry]:
    """Reads a split file, as `write_split` writes it.

    Raises:
        DataError: if the file is missing, something else, or names an image twice.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except OSError as error:
        raise DataError(f"{path}: expected a split file. Received: {error.strerror}") from None
    except csv.Error as error:
        raise DataError(f"{path}: expected a split file (CSV). Received: {error}") from None
    if not lines or lines[0] != _COLUMNS:
        raise DataError(
            f"{path}: expected a split file, which begins {','.join(_COLUMNS)}. "
            f"Received: {','.join(lines[0])[:80] if lines else 'an empty file'!r}"
        )
    entries: dict[str, SplitEntry] = {}
    for number, values in enumerate(lines[1:], 2):
        if len(values) != 4 or values[2] not in ("normal", "anomaly") or values[3] not in PARTS:
            raise DataError(
                f"{path}: expected in row {number} a path, a kind, normal or anomaly, and one of "
                f"{', '.join(PARTS)}. Received: {','.join(values)[:200]!r}"
            )
        if values[0] in entries:
            raise DataError(
                f"{path}: expected every image once. Received: {values[0]!r} again in row {number}"
            )
        entries[values[0]] = SplitEntry(values[0], values[1], values[2] == "anomaly", values[3])
    return list(entries.values())
