"""What lies in a data folder: images with their labels, masks, and everything else by reason."""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ganad_tf.data.account import BadFile
from ganad_tf.data.folder.file_names import (
    is_image_name,
    is_litter,
    is_unread_image_name,
    suffix_of,
)

OWN, CSV, VISA = "own", "CSV", "VisA"
# Endings of a mask's name: `crack_mask.png`, `crack_GT.png`.
_MASK_ENDING = re.compile(r"[-_. ](mask|gt|ground_?truth|seg|segmentation)$", re.IGNORECASE)
_HIDDEN = "hidden or of the system"
# What follows a file name's suffix.
NOT_AN_IMAGE, NOT_READ = "is not an image", "is not read; save it as PNG or JPEG"


@dataclass(frozen=True)
class FoundImage:
    """An image file, described by its folder or its line in a table.

    Args:
        path: relative to the data folder, with slashes.
        kind: the name of its kind; that of normal images is the listing's `normal_name`.
        is_anomaly: its label.
        official: `train`, `validation` or `test` if the layout says so, else empty.
        key: by which its masks find it; the same as `FoundMask.key`.
    """

    path: str
    kind: str
    is_anomaly: bool
    official: str = ""
    key: str = field(default="", compare=False)


@dataclass(frozen=True)
class FoundMask:
    """A mask file.

    Args:
        path: relative to the data folder, with slashes.
        key: of the image that it belongs to.
        is_part: whether an image may have several such masks, which are laid over one another.
    """

    path: str
    key: str
    is_part: bool = False


@dataclass
class Listing:
    """The contents of a data folder. Every file and folder is in exactly one of the fields.

    Args:
        root: the folder.
        source: what was given as data: the folder, or a CSV file in it.
        layout: a name in `ganad_tf.data.folder.layouts.LAYOUTS`.
        normal_name: the name of the normal kind.
        images: all image files.
        masks: all mask files.
        bad: files that are named like images, and folders, that cannot be read.
        ignored: (folder, reason) -> names of files and folders that are not used.
        notes: sentences on what was ignored that the user should know.
    """

    root: Path
    source: Path
    layout: str
    normal_name: str
    images: list[FoundImage] = field(default_factory=list)
    masks: list[FoundMask] = field(default_factory=list)
    bad: list[BadFile] = field(default_factory=list)
    ignored: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def is_split(self) -> bool:
        """Whether the layout has a test part of its own."""
        return any(image.official == "test" for image in self.images)

    def ignore(self, path: str, reason: str) -> None:
        """Accounts for a file or folder that is not used."""
        folder, _, name = path.rpartition("/")
        self.ignored.setdefault((folder, reason), []).append(name)

    def entries(self, folder: str) -> list[os.DirEntry[str]]:
        """Files and folders in a folder, sorted, without litter, which is accounted for."""
        try:
            with os.scandir(self.root / folder) as scanned:
                found = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            reason = f"expected a folder that can be read. Received: {error.strerror}"
            self.bad.append(BadFile(folder or ".", reason))
            return []
        for entry in found:
            if is_litter(entry.name):
                self.ignore(joined(folder, entry.name), _HIDDEN)
        return [entry for entry in found if not is_litter(entry.name)]

    def files(self, folder: str, deep: bool = True) -> Iterator[str]:
        """Paths of the image files in a folder; everything else in it is accounted for.

        A class folder may be a link. Links to folders below it are bad, because they can lead in
        circles or into other classes.

        Args:
            folder: relative to the root.
            deep: also those in folders below.
        """
        top = os.path.realpath(self.root / folder)
        above = os.path.realpath((self.root / folder).parent)
        if folder and os.path.commonpath([top, above]) == top:
            reason = "expected a class folder. Received: a link to a folder that contains it"
            self.bad.append(BadFile(folder, reason))
            return
        pending = [folder]
        while pending:
            current = pending.pop()
            for entry in self.entries(current):
                path = joined(current, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    if deep:
                        pending.append(path)
                elif os.path.isdir(entry.path):
                    if deep:
                        reason = "expected files and folders. Received: a link to a folder"
                        self.bad.append(BadFile(path, reason))
                elif self._is_readable_image(entry, path):
                    yield path

    def add_folder(
        self, folder: str, kind: str, is_anomaly: bool, official: str = "", deep: bool = True
    ) -> None:
        """Adds all images of a class folder."""
        for path in self.files(folder, deep):
            self.images.append(FoundImage(path, kind, is_anomaly, official, mask_key(path)))

    def ignore_folder(self, folder: str, reason: str) -> int:
        """Accounts for a folder that is not used. Returns the number of images in it."""
        self.ignore(folder, reason)
        return count_images(self.root / folder)

    def _is_readable_image(self, entry: os.DirEntry[str], path: str) -> bool:
        if is_unread_image_name(entry.name):
            self.ignore(path, f"{suffix_of(entry.name)} {NOT_READ}")
            return False
        if not is_image_name(entry.name):
            self.ignore(path, f"{suffix_of(entry.name)} {NOT_AN_IMAGE}")
            return False
        try:
            # Only regular files: opening a pipe or a device would wait for ever.
            regular = stat.S_ISREG(entry.stat().st_mode)
            received = "something else"
        except OSError as error:
            regular, received = False, error.strerror or str(error)
        if not regular:
            self.bad.append(BadFile(path, f"expected a file. Received: {received}"))
        return regular


def joined(folder: str, name: str) -> str:
    """`folder/name`, or `name` in the root."""
    return f"{folder}/{name}" if folder else name


def mask_key(path: str) -> str:
    """The key of an image or mask, without its first folder: `test/hole/a b.png` -> `hole/a b`."""
    return os.path.splitext(path)[0].split("/", 1)[-1]


def without_mask_ending(key: str) -> str:
    """`hole/a_mask` -> `hole/a`; also of `_GT` and the like."""
    return _MASK_ENDING.sub("", key)


def count_images(folder: Path) -> int:
    """How many files in a folder, at any depth, are named like images; none behind a link.

    A link may lead to the whole disk.
    """
    if folder.is_symlink():
        return 0
    return sum(
        is_image_name(name) or is_unread_image_name(name)
        for _, _, names in os.walk(folder)
        for name in names
    )


def move_masks_beside_images(listing: Listing) -> None:
    """`crack_mask.png` beside `crack.png` is its mask, and not another image."""
    stems = {os.path.splitext(image.path)[0] for image in listing.images}
    kept = []
    for image in listing.images:
        stem = os.path.splitext(image.path)[0]
        base = without_mask_ending(stem)
        if base == stem or base not in stems:
            kept.append(image)
        elif image.is_anomaly:
            listing.masks.append(FoundMask(image.path, without_mask_ending(image.key)))
        else:
            listing.ignore(image.path, "a mask of a normal image")
    listing.images[:] = kept
