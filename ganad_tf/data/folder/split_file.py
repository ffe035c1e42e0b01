"""Drawing the parts of a folder's images, and the file that stores part and masks of each image."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ganad_tf.atomic_files import replace_file
from ganad_tf.data.account import SplitEntry
from ganad_tf.errors import DataError

PARTS = ("train", "validation", "test", "unused")
_COLUMNS = ["path", "kind", "label", "part", "mask"]
_WITHOUT_MASKS = _COLUMNS[:-1]  # as earlier versions wrote it


def draw_parts(
    kinds: np.ndarray,
    pixel_digests: np.ndarray,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
) -> np.ndarray:
    """Draws the part of each image at random.

    Each part gets its share of every kind. Images with equal pixels always get the same part.

    Args:
        kinds: int [N], 0 for normal images, larger numbers for kinds of anomalies.
        pixel_digests: str [N], equal for equal pixels.
        validation_fraction: share of the images outside the test part, in (0, 1); applied to normal
            images and to anomalies separately.
        test_fraction: share of all images, in [0, 1), also separately; 0 for no test part.
        seed: of the draw. The result does not depend on the order of the images.

    Returns:
        str [N], the parts. Each part gets at least one normal image and one anomaly. If there are
        too few distinct anomalies for that, all of them go to the test part or, without a test
        part, are unused.

    Raises:
        DataError: if there are too few distinct normal images.
    """
    names, group = np.unique(pixel_digests, return_inverse=True)
    group_kinds = np.zeros(len(names), np.int64)
    np.maximum.at(group_kinds, group, kinds)
    # Different images can have equal pixels once they are small. A group with both labels counts as
    # an anomaly, so that it is never the only normal image of a part.
    sizes = np.bincount(group, minlength=len(names))
    rng = np.random.default_rng(seed)
    parts = np.full(len(names), "train", "U10")
    for label in (False, True):
        chosen = np.flatnonzero((group_kinds > 0) == label)
        # One normal image does not show how normal images differ, so training needs two.
        least = 1 if label else 2
        needed = least + (2 if test_fraction else 1)
        if len(chosen) < needed:
            if not label:
                test = " and one to test with" if test_fraction else ""
                raise DataError(
                    f"expected at least {needed} different normal images, two to train on, one for "
                    f"validation{test}. Received: {len(chosen)}"
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
            start = int(np.clip(np.searchsorted(middles, for_test), 1, len(chosen) - 1 - least))
        end = np.searchsorted(middles, for_test + for_validation)
        end = int(np.clip(end, start + 1, len(chosen) - least))
        parts[chosen[:start]] = "test"
        parts[chosen[start:end]] = "validation"
    return parts[group]


def _interleaved(kinds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order in which every stretch holds each kind in proportion, to within one image."""
    positions = np.empty(len(kinds))
    for kind in np.unique(kinds):
        members = np.flatnonzero(kinds == kind)
        positions[members] = (rng.permutation(len(members)) + rng.random()) / len(members)
    return np.argsort(positions)


def write_split(entries: Sequence[SplitEntry], path: Path) -> None:
    """Writes a split file: CSV in UTF-8 with the columns path, kind, label, part and mask.

    The last column is left out if no entry says anything about masks. Several masks of one image
    are a line of CSV themselves.
    """
    columns = _WITHOUT_MASKS if all(entry.masks is None for entry in entries) else _COLUMNS
    with (
        replace_file(path) as temporary,
        # File names need not be valid UTF-8.
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        for entry in entries:
            label = "anomaly" if entry.is_anomaly else "normal"
            values = [entry.path, entry.kind, label, entry.part, _joined(entry.masks or ())]
            writer.writerow(values[: len(columns)])


def read_split(path: Path) -> list[SplitEntry]:
    """Reads a file that `write_split` has written, or that has the same form.

    Raises:
        DataError: if the file is missing, has another form, or names an image twice.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except OSError as error:
        raise DataError(f"{path}: expected a split file. Received: {error.strerror}") from None
    except csv.Error as error:
        raise DataError(f"{path}: expected a split file (CSV). Received: {error}") from None
    if not lines or lines[0] not in (_COLUMNS, _WITHOUT_MASKS):
        raise DataError(
            f"{path}: expected a split file, which begins {','.join(_WITHOUT_MASKS)}. "
            f"Received: {','.join(lines[0])[:80] if lines else 'an empty file'!r}"
        )
    entries: dict[str, SplitEntry] = {}
    for number, values in enumerate(lines[1:], 2):
        if not _is_entry(values, len(lines[0])):
            raise DataError(
                f"{path}: expected in row {number} a path, a kind, normal or anomaly, and one of "
                f"{', '.join(PARTS)}. Received: {','.join(values)[:200]!r}"
            )
        if values[0] in entries:
            raise DataError(
                f"{path}: expected every image once. Received: {values[0]!r} again in row {number}"
            )
        masks = _separated(values[4]) if len(values) == len(_COLUMNS) else None
        entries[values[0]] = SplitEntry(
            values[0], values[1], values[2] == "anomaly", values[3], masks
        )
    return list(entries.values())


def _is_entry(values: list[str], length: int) -> bool:
    return len(values) == length and values[2] in ("normal", "anomaly") and values[3] in PARTS


def _joined(paths: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(paths)
    return line.getvalue().removesuffix("\r\n")


def _separated(line: str) -> tuple[str, ...]:
    return tuple(next(csv.reader([line]), ()))
