"""Decisions that a person overruled: a CSV file with the columns `path` and `label`."""

import csv
import dataclasses
import hashlib
import io
import os
from pathlib import Path
from typing import Any

from ganad_tf.errors import DataError

LABELS = ("normal", "anomaly")


@dataclasses.dataclass(frozen=True)
class Corrections:
    """What a file of corrections says.

    Args:
        file: its name.
        sha256: of its content.
        normal, anomaly: image files, in the order of the lines, each once.
        unlabelled: files of lines without a label.
    """

    file: str
    sha256: str
    normal: tuple[str, ...]
    anomaly: tuple[str, ...]
    unlabelled: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Where they come from, for the record."""
        counts = {"normal": len(self.normal), "anomaly": len(self.anomaly)}
        return {"sha256": self.sha256, **counts}


def read_corrections(path: Path) -> Corrections:
    """Reads a file of corrections.

    Other columns are passed over, so that the table of `ganad score --csv` with one more column
    will do. Files of lines without a label need not be there.

    Args:
        path: CSV in UTF-8. Image files are relative to its folder; labels are `normal` or
            `anomaly`.

    Raises:
        DataError: if it has another form, names a file that is not there, gives a file two labels,
            or labels nothing.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"--corrections: {path}: {error.strerror}") from None
    text = content.decode("utf-8-sig", "surrogateescape")
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise DataError(f"{path}: expected a CSV file. Received: {error}") from None
    header = lines[0] if lines else []
    if not {"path", "label"} <= set(header):
        raise DataError(
            f"{path}: expected a CSV file with the columns path and label. "
            f"Received: {','.join(header)[:80] or 'none'}"
        )
    at = header.index("path"), header.index("label")
    labels: dict[str, tuple[str, int]] = {}  # real path -> label, line
    found: dict[str, list[str]] = {label: [] for label in LABELS}
    unlabelled: list[str] = []
    for number, values in enumerate(lines[1:], 2):
        if not values:
            continue
        name, label = (values[column] if column < len(values) else "" for column in at)
        if not label.strip():
            unlabelled.append(os.path.join(path.parent, name))
            continue
        if label not in LABELS:
            raise DataError(
                f"{path}: expected normal or anomaly in line {number}, or no label. "
                f"Received: {label[:80]!r}"
            )
        file = os.path.join(path.parent, name)
        if not os.path.isfile(file):
            hint = "; it is there from the working directory" if os.path.isfile(name) else ""
            raise DataError(
                f"{path}: expected an image file in line {number}, relative to the folder of the "
                f"CSV file. Received: {name!r}, not there{hint}"
            )
        real = os.path.realpath(file)
        other, before = labels.setdefault(real, (label, number))
        if other != label:
            raise DataError(
                f"{path}: expected one label for each file. Received: {name!r} as {other} in line "
                f"{before} and as {label} in line {number}"
            )
        if before == number:
            found[label].append(file)
    if not labels:
        raise DataError(f"{path}: expected labelled images. Received: none")
    return Corrections(
        str(path),
        hashlib.sha256(content).hexdigest(),
        tuple(found["normal"]),
        tuple(found["anomaly"]),
        tuple(file for file in unlabelled if os.path.realpath(file) not in labels),
    )
