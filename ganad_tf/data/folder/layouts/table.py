"""A CSV file with the columns path and label, and perhaps split and mask: for any other layout.

    path,label,split,mask
    photos/1.png,normal,train,
    photos/2.png,scratch,test,masks/2.png

Paths are relative to the file's folder. The label is normal, or the name of a kind of anomaly;
0 and 1 will do as well. Without a split, the parts are drawn; a split needs rows
marked test.
"""

import csv
import os
from collections import Counter
from pathlib import Path

from ganad_tf.data.account import BadFile
from ganad_tf.data.folder.file_names import is_image_name, is_litter
from ganad_tf.data.folder.layouts.names import SPELLINGS, has_role
from ganad_tf.data.folder.listing import FoundImage, FoundMask, Listing, joined
from ganad_tf.errors import DataError

_NEEDED = ("path", "label")


def is_table(path: Path) -> bool:
    """Whether a path is that of a CSV file."""
    return path.suffix.lower() == ".csv" and os.path.isfile(path)


def recognises(path: Path) -> bool:
    """Whether the path is a CSV file."""
    return is_table(path)


def fill(listing: Listing) -> None:
    """Adds the images and masks that the file names.

    Raises:
        DataError: if a column is missing, or a value in it means nothing.
    """
    path = listing.source
    for number, row in enumerate(_rows(path), 2):
        name = os.path.normpath(row["path"].strip()).replace(os.sep, "/")
        label, split = row["label"].strip(), (row.get("split") or "").strip()
        part = next((part for part in ("train", "validation", "test") if has_role(split, part)), "")
        if not label or not row["path"].strip() or (split and not part):
            raise DataError(
                f"{path}: expected in row {number} a path, a label, and as split train, "
                f"validation, test or nothing. Received: {','.join(map(str, row.values()))[:200]!r}"
            )
        is_anomaly = label.lower() not in (*SPELLINGS["normal"], "0", "false")
        plain = label.lower() in (*SPELLINGS["anomaly"], "1", "true")
        kind = ("anomaly" if plain else label) if is_anomaly else listing.normal_name
        if not os.path.isfile(listing.root / name):
            is_there = os.path.lexists(listing.root / name)
            reason = "something else" if is_there else "no such file"
            listing.bad.append(BadFile(name, f"expected a file. Received: {reason}"))
            continue
        listing.images.append(FoundImage(name, kind, is_anomaly, part, name))
        mask = (row.get("mask") or "").strip()
        if mask and is_anomaly:
            listing.masks.append(FoundMask(os.path.normpath(mask).replace(os.sep, "/"), name))
    _account_for_rest(listing)
    twice = [name for name, n in Counter(i.path for i in listing.images).items() if n > 1]
    if twice:
        raise DataError(f"{path}: expected every image once. Received: {twice[0]!r} again")


def _account_for_rest(listing: Listing) -> None:
    """Counts the images that the table does not name."""
    named = {image.path for image in listing.images} | {mask.path for mask in listing.masks}
    named |= {bad.path for bad in listing.bad}
    others = []
    for folder, folders, names in os.walk(listing.root):
        folders[:] = [name for name in folders if not is_litter(name)]
        below = os.path.relpath(folder, listing.root).replace(os.sep, "/")
        paths = [joined("" if below == "." else below, name) for name in names]
        others += [p for p in paths if is_image_name(os.path.basename(p)) and p not in named]
    for path in sorted(others):
        listing.ignore(path, f"not named in {listing.source.name}")


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            names = [name.strip().lower() for name in rows.fieldnames or []]
            rows.fieldnames = names
            missing = [name for name in _NEEDED if name not in names]
            if missing:
                raise DataError(
                    f"{path}: expected the columns path and label, and perhaps split and mask. "
                    f"Received: {','.join(names)[:200] or 'an empty file'}"
                )
            return [{**row, "path": row["path"] or "", "label": row["label"] or ""} for row in rows]
    except OSError as error:
        raise DataError(f"{path}: expected a table (CSV). Received: {error.strerror}") from None
    except csv.Error as error:
        raise DataError(f"{path}: expected a table (CSV). Received: {error}") from None
