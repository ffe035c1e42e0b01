"""A split file and the images and masks that it names."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganad_tf.data.account import SplitEntry
from ganad_tf.data.folder.listing import Listing
from ganad_tf.data.folder.split_file import read_split
from ganad_tf.errors import DataError
from ganad_tf.wording import few

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class GivenSplit:
    """What a split file says.

    Args:
        entries: its lines.
        parts: path -> part, of the images that are there.
        listing: the images and masks alone that it names.
    """

    entries: tuple[SplitEntry, ...]
    parts: Mapping[str, str]
    listing: Listing


def given_split(path: Path, listing: Listing) -> GivenSplit:
    """Reads a split file and finds what it names.

    Args:
        path: of the split file.
        listing: of the data folder.

    Raises:
        DataError: if it names an image that is not there, or gives it another kind or label; or if
            a mask of a training image is not there.
    """
    entries = read_split(path)
    parts = _parts(entries, listing, path)
    return GivenSplit(tuple(entries), parts, _named_by(entries, listing, path))


def _parts(entries: Sequence[SplitEntry], listing: Listing, split_file: Path) -> dict[str, str]:
    """The part of each image that a split file names: path -> part.

    Raises:
        DataError: if it names an image that is not there, or gives it another kind or label.
    """
    found = {image.path: image for image in listing.images}
    missing = [
        entry.path for entry in entries if entry.path not in found and entry.part != "unused"
    ]
    if missing:
        raise DataError(
            f"{split_file}: expected paths of images in {listing.root}. "
            f"Received: {few(missing)}, not there"
        )
    for entry in entries:
        image = found.get(entry.path)
        if image is None:
            continue
        if (entry.kind, entry.is_anomaly) != (image.kind, image.is_anomaly):
            raise DataError(
                f"{split_file}: expected {entry.path!r} to be of kind {image.kind!r}, "
                f"{_label(image.is_anomaly)}, as its folder says. "
                f"Received: {entry.kind!r}, {_label(entry.is_anomaly)}"
            )
    others = set(found) - {entry.path for entry in entries}
    if others:
        _LOGGER.warning(
            "%s does not name %d images of %s, which are not used: %s",
            *(split_file, len(others), listing.root, few(sorted(others))),
        )
    return {entry.path: entry.part for entry in entries if entry.path in found}


def _named_by(entries: Sequence[SplitEntry], listing: Listing, split_file: Path) -> Listing:
    """The listing with the images and masks alone that a split file names.

    A file without masks, of an earlier version, leaves them all. What is not named is ignored.

    Raises:
        DataError: if a mask of a training image is not there.
    """
    reason = f"not named in {split_file.name}"
    images, masks = {entry.path for entry in entries}, {mask.path for mask in listing.masks}
    named = {path for entry in entries for path in entry.masks or ()}
    if all(entry.masks is None for entry in entries):
        named = masks
    learnt = {path for entry in entries if entry.part == "train" for path in entry.masks or ()}
    if missing := sorted(learnt - masks):
        raise DataError(
            f"{split_file}: expected the masks of training images in {listing.root}. "
            f"Received: {few(missing)}, not there"
        )
    if others := sorted(masks - named):
        _LOGGER.warning(
            "%s does not name %d masks of %s, which are not used (without its column mask, all "
            "are): %s",
            *(split_file, len(others), listing.root, few(others)),
        )
    kept = dataclasses.replace(
        listing,
        images=[image for image in listing.images if image.path in images],
        masks=[mask for mask in listing.masks if mask.path in named],
        ignored=_without(listing, split_file),
    )
    paths = (*(i.path for i in listing.images), *(m.path for m in listing.masks))
    for path in paths:
        if path not in images and path not in named:
            kept.ignore(path, reason)
    return kept


def _without(listing: Listing, split_file: Path) -> dict[tuple[str, str], list[str]]:
    """What is ignored, without the split file itself, which may lie in the data folder."""
    kept = {}
    for (folder, reason), names in listing.ignored.items():
        here = (listing.root / folder).resolve() == split_file.resolve().parent
        others = [name for name in names if not (here and name == split_file.name)]
        if others:
            kept[folder, reason] = others
    return kept


def _label(is_anomaly: bool) -> str:
    return "anomaly" if is_anomaly else "normal"
