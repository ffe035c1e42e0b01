"""Finds the mask files of each anomaly in a data folder and checks that they fit."""

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from ganad_tf.data.account import BadFile
from ganad_tf.data.folder.listing import CSV, FoundImage, FoundMask, Listing
from ganad_tf.data.image_files.decoding import describe, open_image, orientation
from ganad_tf.data.image_files.mask_file import LARGE_SHARE, MaskFile, read_mask_file
from ganad_tf.errors import DataError
from ganad_tf.wording import few

# A mask that would be so much larger, were every value but black a defect, has fringes.
_GROWN = 1.5


@dataclass
class MatchedMasks:
    """The masks of a folder.

    Args:
        of: path of the image -> paths of its masks; several are laid over one another.
        bad: masks that do not fit.
        notes: sentences about masks that may not mean what they say.
    """

    of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    bad: list[BadFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def folders(self) -> Counter[str]:
        """Folder -> number of its mask files in use."""
        return Counter(os.path.dirname(path) for paths in self.of.values() for path in paths)


def match_masks(
    listing: Listing,
    readable: set[str],
    max_pixels: int | None = None,
    strays_are_bad: bool = True,
) -> MatchedMasks:
    """Finds and checks the masks of anomalies.

    If a name occurs in both the test and the training part of MVTec's layout, the mask belongs to
    the test image. A mask does not fit if it is unreadable, empty, of another size than its image,
    or if there are several masks or several images of its name.

    Args:
        listing: of the folder.
        readable: paths of the images that can be decoded. Masks of other images are not checked.
        max_pixels: the most pixels that a mask may have.
        strays_are_bad: whether a mask without an image is a bad file.
    """
    found: defaultdict[str, list[FoundMask]] = defaultdict(list)
    for mask in listing.masks:
        found[mask.key].append(mask)
    # Test images come first, so that they get the mask if a name occurs twice.
    anomalies = sorted(
        (image for image in listing.images if image.is_anomaly),
        key=lambda image: image.official != "test",
    )
    owners: dict[str, list[FoundImage]] = {}
    for image in anomalies:
        first = owners.setdefault(image.key, [])
        if not first or first[0].official == image.official:
            first.append(image)
    result = MatchedMasks()
    checked: dict[str, MaskFile] = {}
    for image in anomalies:
        if image not in owners[image.key]:
            continue  # a training image, whose name a test image has, too
        masks = found.get(image.key, [])
        if image.path not in readable or not masks:
            continue
        ambiguity = _ambiguity(owners[image.key], masks)
        if ambiguity:
            result.bad += [BadFile(mask.path, ambiguity) for mask in masks]
            continue
        try:
            checked |= _checked(listing.root, image.path, [m.path for m in masks], max_pixels)
            result.of[image.path] = tuple(mask.path for mask in masks)
        except _BadMaskError as error:
            result.bad.append(error.file)
    result.bad = list(dict.fromkeys(result.bad))
    normal = {image.key: image for image in listing.images if not image.is_anomaly}
    for key, masks in found.items():
        if key in owners or not strays_are_bad:
            continue
        for mask in masks:
            label = "a normal image" if key in normal else "no such image"
            hint = _elsewhere(mask, anomalies)
            reason = f"expected the mask of an anomaly. Received: {label}{hint}"
            result.bad.append(BadFile(mask.path, reason))
    result.notes = [*_notes(checked), *_note_on_missing(listing, anomalies, found)]
    return result


def _elsewhere(mask: FoundMask, anomalies: Sequence[FoundImage]) -> str:
    """The one anomaly of the mask's name in a folder of another kind; empty without it."""
    name = PurePath(mask.key).name
    found = [image.path for image in anomalies if PurePath(image.key).name == name]
    return f"; of {found[0]}, it must lie in the folder of its kind" if len(found) == 1 else ""


class _BadMaskError(Exception):
    def __init__(self, path: str, error: Exception):
        super().__init__(path)
        self.file = BadFile(path, describe(error))


def _ambiguity(images: Sequence[FoundImage], masks: Sequence[FoundMask]) -> str:
    """Why it is not clear which mask belongs to which image; empty if it is."""
    if len(images) > 1:
        names = " and ".join(image.path for image in images)
        return f"expected one image for this mask; rename the other one. Received: {names}"
    if len(masks) > 1 and not all(mask.is_part for mask in masks):
        names = " and ".join(mask.path for mask in masks)
        return f"expected one mask of {images[0].path}; remove the others. Received: {names}"
    return ""


def _checked(
    root: Path, image: str, masks: Sequence[str], max_pixels: int | None
) -> dict[str, MaskFile]:
    """Reads the masks of one image.

    Raises:
        _BadMaskError: if one of them does not fit.
    """
    with open_image(root / image, max_pixels) as opened:
        turn = orientation(opened)
        expected = opened.size[::-1] if turn >= 5 else opened.size
    files = {}
    for path in masks:
        try:
            files[path] = _read_fitting(root / path, expected, turn, max_pixels)
        except Exception as error:  # Pillow's readers raise dozens of types on damaged files
            raise _BadMaskError(path, error) from None
    return files


def _read_fitting(
    path: Path, expected: tuple[int, int], turn: int, max_pixels: int | None
) -> MaskFile:
    mask = read_mask_file(path, max_pixels)
    height, width = mask.defective.shape
    if (width, height) != expected:
        hint = f" (as shown, with EXIF orientation {turn})" if turn > 1 else ""
        raise DataError(
            f"expected a mask of its image's size, {expected[0]}x{expected[1]}{hint}. "
            f"Received: {width}x{height}"
        )
    if not mask.share:
        raise DataError("expected a mask that marks a defect. Received: only black pixels")
    return mask


def _note_on_missing(
    listing: Listing, anomalies: Sequence[FoundImage], masks: Mapping[str, Sequence[FoundMask]]
) -> list[str]:
    """Published test parts have all masks or none, so a missing one may be an oversight.

    In a table, an empty cell says that there is none.
    """
    tested = [image for image in anomalies if image.official == "test"]
    missing = [image.path for image in tested if image.key not in masks]
    if listing.layout == CSV or len(missing) in (0, len(tested)):
        return []
    return [
        f"{len(missing)} of {len(tested)} test anomalies have no mask, so heat maps are measured "
        f"without them: {few(missing)}"
    ]


def _notes(masks: dict[str, MaskFile]) -> list[str]:
    whole = [path for path, mask in masks.items() if mask.share == 1]
    inverted = [path for path, mask in masks.items() if mask.is_inverted]
    large = [
        path
        for path, mask in masks.items()
        if LARGE_SHARE < mask.share < 1 and not mask.is_inverted
    ]
    grown = [path for path, mask in masks.items() if mask.any_value_share > _GROWN * mask.share]
    told = (
        (whole, "the whole image is marked as defective"),
        (
            inverted,
            "most of the image and of its border is marked, so they may be inverted (defects must "
            "be bright, the rest black)",
        ),
        (large, f"more than {LARGE_SHARE:.0%} of the image is marked"),
        (
            grown,
            "there are shades between black and white, as JPEG makes them; values from half the "
            "brightest one on mark a defect",
        ),
    )
    return [f"masks, {len(paths)}: {what}: {few(paths)}" for paths, what in told if paths]
