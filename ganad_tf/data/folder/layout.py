"""The images of a data folder, with the kind and label that their folders give them.

There are two layouts:

    own      PATH/normal/...  PATH/anomaly/[kind/]...  PATH/ground_truth/[kind/]...
    MVTec    PATH/train/good  PATH/test/good  PATH/test/<defect>  PATH/ground_truth/<defect>
             and, in addition to MVTec AD, PATH/train/<defect> for anomalies to train on

In both, `ground_truth` is optional. It holds masks, each named like its image with `_mask` added.

MVTec: Bergmann et al., *MVTec AD - A Comprehensive Real-World Dataset for Unsupervised Anomaly
Detection*, CVPR 2019.
"""

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ganad_tf.data.folder.file_names import SUFFIXES
from ganad_tf.errors import DataError

OWN, MVTEC = "own", "MVTec"
_GROUND_TRUTH = "ground_truth"


@dataclass(frozen=True)
class FoundImage:
    """An image file, described by its folder.

    Args:
        path: relative to the data folder, with slashes.
        kind: `normal` or `good`, or the name of the kind of anomaly.
        is_anomaly: its label.
        official: `train` or `test` in the MVTec layout, else empty.
    """

    path: str
    kind: str
    is_anomaly: bool
    official: str = ""


@dataclass(frozen=True)
class BadFile:
    """A file that cannot be used.

    Args:
        path: relative to the data folder, with slashes.
        reason: `expected ... Received: ...`.
    """

    path: str
    reason: str


@dataclass
class Listing:
    """The contents of a data folder.

    Args:
        root: the folder.
        layout: `own` or `MVTec`.
        normal_name: the name of the normal kind.
        images: all image files, in the order of their paths.
        bad: files that are named like images, and folders, that cannot be read.
        ignored: suffix -> number of files that are not named like images.
    """

    root: Path
    layout: str
    normal_name: str
    images: list[FoundImage] = field(default_factory=list)
    bad: list[BadFile] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def list_folder(root: Path) -> Listing:
    """Lists the images of a data folder, at any depth below its class folders.

    Hidden files and files without the suffix of an image are left out. A class folder may be a
    link. Links to folders below it are bad, because they can lead in circles or into other classes.

    Raises:
        DataError: if the folder is in neither layout or in both.
    """
    if not root.is_dir():
        received = "a file" if root.exists() else "no such folder"
        raise DataError(f"{root}: expected a folder of images. Received: {received}")
    own, mvtec = (root / "normal").is_dir(), (root / "train" / "good").is_dir()
    if own == mvtec:
        raise DataError(
            f"{root}: expected either normal/ and anomaly/, or train/good, test/good and "
            f"test/<defect>. Received: {'both' if own else _held(root)}"
        )
    listing = Listing(root, *((OWN, "normal") if own else (MVTEC, "good")))
    if own:
        _add(listing, "normal", "normal", False)
        for kind in _class_folders(listing, "anomaly", "anomaly"):
            # A kind of anomaly may be called `normal`, but kinds are told apart by their names.
            name = "anomaly/normal" if kind == "normal" else kind
            _add(listing, f"anomaly/{kind}", name, True)
    else:
        for part in ("train", "test"):
            for kind in _class_folders(listing, part, None):
                _add(listing, f"{part}/{kind}", kind, kind != "good", part)
    listing.images.sort(key=lambda image: image.path)
    listing.bad.sort(key=lambda bad: bad.path)
    return listing


def list_masks(root: Path, layout: str) -> dict[str, str]:
    """Lists the mask files of a data folder.

    Returns:
        `mask_key` of the image -> path of its mask, relative to `root`.
    """
    listing = Listing(root, layout, "")
    for kind in _class_folders(listing, _GROUND_TRUTH, "anomaly" if layout == OWN else None):
        if layout == OWN or kind != "good":
            _add(listing, f"{_GROUND_TRUTH}/{kind}", kind, True)
    return {mask_key(mask.path).removesuffix("_mask"): mask.path for mask in listing.images}


def mask_key(path: str) -> str:
    """The key of an image in `list_masks`: `test/hole/a b.png` -> `hole/a b`."""
    return os.path.splitext(path)[0].split("/", 1)[1]


def _class_folders(listing: Listing, parent: str, loose: str | None) -> list[str]:
    """Names of the folders in `parent`. Images directly in it are of the kind `loose`, if given."""
    folder = listing.root / parent
    if not folder.is_dir():
        return []
    names = []
    for entry in _entries(listing, folder):
        if os.path.isdir(entry.path):
            names.append(entry.name)
        elif loose:
            _add_file(listing, entry, f"{parent}/{entry.name}", loose, True, "")
        else:
            listing.ignored[_suffix(entry.name)] += 1
    return sorted(names)


def _add(listing: Listing, folder: str, kind: str, is_anomaly: bool, official: str = "") -> None:
    """Adds all images below a class folder to the listing."""
    top = os.path.realpath(listing.root / folder)
    above = os.path.realpath((listing.root / folder).parent)
    if os.path.commonpath([top, above]) == top:
        reason = "expected a class folder. Received: a link to a folder that contains it"
        listing.bad.append(BadFile(folder, reason))
        return
    pending = [folder]
    while pending:
        current = pending.pop()
        for entry in _entries(listing, listing.root / current):
            path = f"{current}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)
            elif os.path.isdir(entry.path):
                reason = "expected files and folders. Received: a link to a folder"
                listing.bad.append(BadFile(path, reason))
            else:
                _add_file(listing, entry, path, kind, is_anomaly, official)


def _add_file(
    listing: Listing,
    entry: os.DirEntry[str],
    path: str,
    kind: str,
    is_anomaly: bool,
    official: str,
) -> None:
    if not entry.name.lower().endswith(SUFFIXES):
        listing.ignored[_suffix(entry.name)] += 1
        return
    try:
        # Only regular files: opening a pipe or a device would wait for ever.
        regular = stat.S_ISREG(entry.stat().st_mode)
        received = "something else"
    except OSError as error:
        regular, received = False, error.strerror or str(error)
    if regular:
        listing.images.append(FoundImage(path, kind, is_anomaly, official))
    else:
        listing.bad.append(BadFile(path, f"expected a file. Received: {received}"))


def _entries(listing: Listing, folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        path = folder.relative_to(listing.root).as_posix()
        listing.bad.append(
            BadFile(path, f"expected a folder that can be read. Received: {error.strerror}")
        )
        return []


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower() or "no suffix"


def _held(root: Path) -> str:
    names = sorted(entry.name for entry in root.iterdir() if not entry.name.startswith("."))
    below = [name for name in names if (root / name / "train" / "good").is_dir()]
    if below:
        return f"folders that have them, name one: {', '.join(below[:8])}"
    return ", ".join(names[:8]) or "an empty folder"
