"""The layout of KolektorSDD2: `train` and `test` with `<number>.png` and `<number>_GT.png`.

An image is an anomaly if its mask marks a defect.

Bozic et al., *Mixed supervision for surface-defect detection: From weakly to fully supervised
learning*, Computers in Industry 2021.
"""

import os
from pathlib import Path

from ganad_tf.data.account import BadFile
from ganad_tf.data.folder.layouts.names import account_for_rest, folder_for
from ganad_tf.data.folder.listing import FoundImage, FoundMask, Listing
from ganad_tf.data.image_files.decoding import describe
from ganad_tf.data.image_files.mask_file import read_mask_file

_ENDING = "_GT"


def recognises(root: Path) -> bool:
    """Whether there are masks with the ending `_GT` in `train`."""
    train = folder_for(root, "train")
    return train is not None and any((root / train).glob(f"*{_ENDING}.*"))


def fill(listing: Listing) -> None:
    """Adds the images and masks."""
    folders = {part: folder_for(listing.root, part) for part in ("train", "validation", "test")}
    for part, folder in folders.items():
        paths = list(listing.files(folder)) if folder else []
        masks = {
            os.path.splitext(p)[0]: p for p in paths if os.path.splitext(p)[0].endswith(_ENDING)
        }
        for path in paths:
            key = os.path.splitext(path)[0]
            if key.endswith(_ENDING):
                continue
            mask = masks.pop(key + _ENDING, None)
            if mask is None:
                reason = f"expected an image with a mask beside it, {key}{_ENDING}.png"
                listing.bad.append(BadFile(path, f"{reason}. Received: no file"))
                continue
            _add(listing, path, mask, part)
        for mask in masks.values():
            reason = "expected the mask of an image. Received: no such image"
            listing.bad.append(BadFile(mask, reason))
    account_for_rest(listing, "", {folder for folder in folders.values() if folder})


def _add(listing: Listing, path: str, mask: str, part: str) -> None:
    try:
        is_anomaly = bool(read_mask_file(listing.root / mask).defective.any())
    except Exception as error:  # Pillow's readers raise dozens of types on damaged files
        listing.bad.append(BadFile(mask, describe(error)))
        return
    kind = "anomaly" if is_anomaly else listing.normal_name
    listing.images.append(FoundImage(path, kind, is_anomaly, part, path))
    if is_anomaly:
        listing.masks.append(FoundMask(mask, path))
    else:
        listing.ignore(mask, "masks of normal images")
