"""The own layout: `normal/...`, `anomaly/[kind/]...`, and masks in `ground_truth/[kind/]...`.

A mask has the name of its image, with or without `_mask` added. It may also lie beside its image,
with `_mask` added.
"""

from pathlib import Path

from ganad_tf.data.folder.layouts.names import account_for_rest, folder_for, folders_in, has_role
from ganad_tf.data.folder.listing import FoundMask, Listing, mask_key, without_mask_ending


def recognises(root: Path) -> bool:
    """Whether the folder has normal images in a folder of their own."""
    return folder_for(root, "normal") is not None


def fill(listing: Listing) -> None:
    """Adds the images and masks."""
    root = listing.root
    normal, anomaly, truth = (
        folder_for(root, role) for role in ("normal", "anomaly", "ground_truth")
    )
    assert normal is not None
    listing.add_folder(normal, "normal", False)
    if anomaly:
        listing.add_folder(anomaly, "anomaly", True, deep=False)
        for kind in subfolders(listing, anomaly):
            # A kind of anomaly may be called `normal`, but kinds are told apart by their names.
            name = "anomaly/normal" if kind == "normal" else kind
            listing.add_folder(f"{anomaly}/{kind}", name, True)
    if truth:
        add_masks(listing, truth)
    account_for_rest(listing, "", {name for name in (normal, anomaly, truth) if name})


def add_masks(listing: Listing, folder: str) -> None:
    """Adds the masks in a folder; those of normal images are passed over."""
    for path in listing.files(folder, deep=False):
        listing.masks.append(FoundMask(path, key_of_mask(path)))
    for kind in subfolders(listing, folder):
        if has_role(kind, "normal"):
            listing.ignore_folder(f"{folder}/{kind}", "masks of normal images")
            continue
        for path in listing.files(f"{folder}/{kind}"):
            listing.masks.append(FoundMask(path, key_of_mask(path)))


def key_of_mask(path: str) -> str:
    """`ground_truth/hole/a_mask.png` -> `hole/a`."""
    return without_mask_ending(mask_key(path))


def subfolders(listing: Listing, folder: str) -> list[str]:
    """Names of the folders in a folder, sorted."""
    return folders_in(listing.root / folder)
