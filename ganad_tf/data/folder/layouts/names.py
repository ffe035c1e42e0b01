"""Other spellings of the folders that layouts are made of."""

import difflib
import os
from pathlib import Path

from ganad_tf.data.folder.file_names import is_litter
from ganad_tf.data.folder.listing import OWN, Listing, joined
from ganad_tf.errors import DataError
from ganad_tf.wording import counted

SPELLINGS = {
    "normal": ("normal", "normals", "good", "ok", "nominal"),
    "anomaly": (
        *("anomaly", "anomalies", "anomalous", "abnormal", "defect", "defects", "defective"),
        *("bad", "ng", "ko", "nok", "not_good", "not_ok", "faulty", "fail", "failed", "reject"),
        *("rejects", "rejected"),
    ),
    "ground_truth": (
        *("ground_truth", "groundtruth", "ground-truth", "ground truth", "gt", "masks", "mask"),
    ),
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test", "testing"),
}


# Such a name says the opposite of what it resembles: a folder nonnormal/ holds no normal images.
_NEGATIONS = ("no_", "no-", "no ", "not", "non", "un", "ab", "in")
# Shorter names resemble too much: gold/ is no misspelling of good/.
_MIN_MISSPELT = 5


def folder_for(root: Path, role: str, below: str = "") -> str | None:
    """The folder with a role, in whatever spelling, relative to `root`; None if there is none.

    Args:
        root: the data folder.
        role: a key of `SPELLINGS`.
        below: the folder in which to look.

    Raises:
        DataError: if there are several.
    """
    found = [joined(below, name) for name in folders_in(root / below) if has_role(name, role)]
    if len(found) > 1:
        raise DataError(
            f"{root}: expected one folder for {joined(below, role)}/; put all its files into one. "
            f"Received: {' and '.join(f'{name}/' for name in found)}"
        )
    return found[0] if found else None


def has_role(name: str, role: str) -> bool:
    """Whether a folder's name is a spelling of a role."""
    return name.lower() in SPELLINGS[role]


def account_for_rest(listing: Listing, folder: str, used: set[str]) -> None:
    """Accounts for what lies beside the folders in use, and names the rename that would help.

    Args:
        listing: of the data folder.
        folder: whose contents are accounted for, relative to the root.
        used: paths of the folders in it that are in use.
    """
    for entry in listing.entries(folder):
        path = joined(folder, entry.name)
        if path in used:
            continue
        if not os.path.isdir(entry.path):
            listing.ignore(path, "a file outside the class folders")
            continue
        count = listing.ignore_folder(path, "a folder that has no meaning in this layout")
        if count:
            listing.notes.append(
                f"{path}/ with {counted(count, 'image')} is not used, since the {listing.layout} "
                f"layout has no such folder{_way_out(listing, folder, entry.name)}"
            )


def _way_out(listing: Listing, folder: str, name: str) -> str:
    """What would make a folder of images that is not used one that is; may be empty."""
    if close := misspelt_role(name):
        return f"; was {joined(folder, close)}/ meant? Rename it then"
    if listing.layout == OWN:
        anomaly = folder_for(listing.root, "anomaly") or "anomaly"
        return f"; are they anomalies? Move it to {anomaly}/{name}/ then"
    return ""


def misspelt_role(name: str) -> str | None:
    """The key of `SPELLINGS` that a folder's name is a misspelling of; None for a spelling, too."""
    spellings = {spelling: role for role, names in SPELLINGS.items() for spelling in names}
    name = name.lower()
    if name in spellings or len(name) < _MIN_MISSPELT:
        return None
    found = difflib.get_close_matches(name, spellings, 1, 0.75)
    role = spellings[found[0]] if found else None
    return None if role == "normal" and name.startswith(_NEGATIONS) else role


def folders_in(folder: Path) -> list[str]:
    """Names of the folders in a folder, and of links to folders, sorted; none if it is no folder.

    None, too, if it cannot be read; `Listing.entries` says so of folders in use.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if os.path.isdir(entry.path)]
    except OSError:
        return []
    return sorted(name for name in names if not is_litter(name))
