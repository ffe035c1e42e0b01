"""The layouts of MVTec AD and MVTec LOCO.

    MVTec AD    train/good  test/good  test/<defect>  ground_truth/<defect>/<image>_mask.png
                and, in addition to it, train/<defect> for anomalies to train on
    MVTec LOCO  train/good  validation/good  test/good  test/<defect>
                ground_truth/<defect>/<image>/<number>.png, several masks for one image

MPDD has the layout of MVTec AD. In all of them `ground_truth` is optional.

Bergmann et al., *MVTec AD - A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection*,
CVPR 2019; *Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection and
Localization*, IJCV 2022.
"""

import os
from pathlib import Path

from ganad_tf.data.folder.layouts.names import account_for_rest, folder_for, folders_in, has_role
from ganad_tf.data.folder.layouts.own import add_masks, subfolders
from ganad_tf.data.folder.listing import FoundMask, Listing, mask_key

PARTS = ("train", "validation", "test")
OK = "ok"  # BTAD's name for good


def recognises(root: Path) -> bool:
    """Whether the folder has `train/good` in some spelling, but not LOCO's masks or BTAD's `ok`."""
    good = normal_of_train(root)
    return good is not None and not good.endswith("/" + OK) and not _has_loco_masks(root)


def recognises_loco(root: Path) -> bool:
    """Whether the folder has `train/good` and a folder of masks for each image."""
    return normal_of_train(root) is not None and _has_loco_masks(root)


def fill(listing: Listing) -> None:
    """Adds the images and masks of MVTec AD."""
    fill_parts(listing)
    truth = folder_for(listing.root, "ground_truth")
    if truth:
        add_masks(listing, truth)


def fill_loco(listing: Listing) -> None:
    """Adds the images and masks of MVTec LOCO."""
    fill_parts(listing)
    truth = folder_for(listing.root, "ground_truth")
    for kind in subfolders(listing, truth) if truth else []:
        for path in listing.files(f"{truth}/{kind}"):
            listing.masks.append(FoundMask(path, mask_key(os.path.dirname(path) + "."), True))


def fill_parts(listing: Listing) -> None:
    """Adds the images of `train`, `validation` and `test`, and accounts for the rest."""
    root = listing.root
    good = normal_of_train(root)
    assert good is not None
    listing.normal_name = os.path.basename(good).lower()
    folders = {part: folder_for(root, part) for part in PARTS}
    for part, folder in folders.items():
        for kind in subfolders(listing, folder) if folder else []:
            is_anomaly = not has_role(kind, "normal")
            name = kind if is_anomaly else listing.normal_name
            listing.add_folder(f"{folder}/{kind}", name, is_anomaly, part)
        if folder:
            account_for_loose_files(listing, folder)
    truth = folder_for(root, "ground_truth")
    account_for_rest(listing, "", {name for name in (*folders.values(), truth) if name})


def account_for_loose_files(listing: Listing, folder: str) -> None:
    """Accounts for files that lie beside the class folders."""
    for entry in listing.entries(folder):
        if not os.path.isdir(entry.path):
            listing.ignore(f"{folder}/{entry.name}", "a file outside the class folders")


def normal_of_train(root: Path) -> str | None:
    """The folder of normal images to train on, relative to the root, in whatever spelling."""
    train = folder_for(root, "train")
    return folder_for(root, "normal", train) if train else None


def _has_loco_masks(root: Path) -> bool:
    truth = folder_for(root, "ground_truth")
    if not truth:
        return False
    return any(folders_in(root / truth / kind) for kind in folders_in(root / truth))
