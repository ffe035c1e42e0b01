"""The layout of VisA: one object's folder, with `Data/Images`, `Data/Masks` and `image_anno.csv`.

The parts are those of `../split_csv/1cls.csv` if it is there; otherwise they are drawn.

Zou et al., *SPot-the-Difference Self-Supervised Pre-training for Anomaly Detection and
Segmentation*, ECCV 2022.
"""

import csv
import os
from pathlib import Path

from ganad_tf.data.folder.layouts.names import account_for_rest
from ganad_tf.data.folder.listing import FoundImage, FoundMask, Listing, mask_key
from ganad_tf.errors import DataError

_IMAGES, _MASKS = "Data/Images", "Data/Masks"
_ANNOTATIONS = "image_anno.csv"


def recognises(root: Path) -> bool:
    """Whether the folder is that of an object of VisA."""
    return os.path.isdir(root / _IMAGES / "Normal")


def fill(listing: Listing) -> None:
    """Adds the images and masks."""
    root = listing.root
    kinds = {row["image"]: row.get("label") or "" for row in _rows(root / _ANNOTATIONS)}
    table = root.parent / "split_csv" / "1cls.csv"
    parts = {row["image"]: row.get("split") or "" for row in _rows(table)}
    for name, is_anomaly in (("Normal", False), ("Anomaly", True)):
        folder = f"{_IMAGES}/{name}"
        for path in listing.files(folder) if os.path.isdir(root / folder) else ():
            full = f"{root.resolve().name}/{path}"
            # An image may have several defects, separated by commas.
            kind = (kinds.get(full, "").split(",")[0].strip() or "anomaly") if is_anomaly else ""
            official = parts.get(full, "") if parts else ""
            if parts and not official:
                listing.ignore(path, "not in split_csv/1cls.csv")
                continue
            mask = mask_key(path.removeprefix(f"{_IMAGES}/"))
            listing.images.append(FoundImage(path, kind or "normal", is_anomaly, official, mask))
    if os.path.isdir(root / _MASKS / "Anomaly"):
        for path in listing.files(f"{_MASKS}/Anomaly"):
            listing.masks.append(FoundMask(path, mask_key(path.removeprefix(f"{_MASKS}/"))))
    if os.path.isfile(root / _ANNOTATIONS):
        listing.ignore(_ANNOTATIONS, "read for the kinds of anomalies")
    account_for_rest(listing, "", {"Data", _ANNOTATIONS})
    account_for_rest(listing, "Data", {_IMAGES, _MASKS})
    account_for_rest(listing, _IMAGES, {f"{_IMAGES}/Normal", f"{_IMAGES}/Anomaly"})
    if os.path.isdir(root / _MASKS):
        account_for_rest(listing, _MASKS, {f"{_MASKS}/Anomaly"})


def _rows(path: Path) -> list[dict[str, str]]:
    """The lines of a table with a column `image`; none if there is no such file.

    Raises:
        DataError: if the file is no table.
    """
    if not os.path.isfile(path):
        return []
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return [row for row in csv.DictReader(file) if row.get("image")]
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: expected a table (CSV). Received: {error}") from None
