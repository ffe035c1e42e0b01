"""The own layout: `normal/...`, `anomaly/[kind/]...`, and masks in `ground_truth/[kind/]...`.

A mask has the name of its image, with or without `_mask` added. It may also lie beside its image,
with `_mask` added.
"""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

from ganad_tf.data.folder.layouts.names import account_for_rest, folder_for, folders_in, has_role
from ganad_tf.data.folder.listing import FoundMask, Listing, mask_key, without_mask_ending
from ganad_tf.wording import counted


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
    _tell_what_may_be_meant_otherwise(listing)
    if truth:
        add_masks(listing, truth)
    account_for_rest(listing, "", {name for name in (normal, anomaly, truth) if name})


def _tell_what_may_be_meant_otherwise(listing: Listing) -> None:
    """Notes folders in class folders whose names are those of masks, or of the other class."""
    counts = Counter((image.path.rpartition("/")[0], image.is_anomaly) for image in listing.images)
    for (folder, is_anomaly), count in sorted(counts.items()):
        first, *inner = folder.split("/")
        if any(has_role(name, "ground_truth") for name in inner):
            hint = "if these are masks, they belong into ground_truth/"
        elif any(has_role(name, "normal" if is_anomaly else "anomaly") for name in inner):
            hint = f"if they are not, move it out of {first}/"
        else:
            continue
        used = "anomalies" if is_anomaly else "normal images"
        listing.notes.append(f"{folder}/: {counted(count, 'image')} used as {used}; {hint}")


def add_masks(listing: Listing, folder: str) -> None:
    """Adds the masks in a folder, after the images; those of normal images are passed over."""
    images = {image.key for image in listing.images if image.is_anomaly}
    for path in listing.files(folder, deep=False):
        listing.masks.append(FoundMask(path, key_of_mask(path, images)))
    for kind in subfolders(listing, folder):
        if has_role(kind, "normal"):
            listing.ignore_folder(f"{folder}/{kind}", "masks of normal images")
            continue
        for path in listing.files(f"{folder}/{kind}"):
            listing.masks.append(FoundMask(path, key_of_mask(path, images)))


def key_of_mask(path: str, images: Collection[str]) -> str:
    """`ground_truth/hole/a_mask.png` -> `hole/a`, unless `hole/a_mask` is the image's own name.

    Args:
        path: of the mask.
        images: the keys of all anomalies.
    """
    key = mask_key(path)
    plain = without_mask_ending(key)
    return key if key in images and plain not in images else plain


def subfolders(listing: Listing, folder: str) -> list[str]:
    """Names of the folders in a folder, sorted."""
    return folders_in(listing.root / folder)
