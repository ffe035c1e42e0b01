"""What must hold of a folder of images before anything is learnt from it."""

import itertools
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ganad_tf.data.folder.layout import OWN, BadFile, FoundImage, Listing
from ganad_tf.data.folder.split_file import SplitEntry
from ganad_tf.errors import DataError, UsageError

_LOGGER = logging.getLogger(__name__)

_MOST_NAMED = 20  # files in one message


def check_arguments(
    image_size: int, channels: int | None, validation_fraction: float, test_fraction: float
) -> None:
    """Checks the ranges that `load_folder` states.

    Raises:
        UsageError: if one is left.
    """
    if not 32 <= image_size <= 256 or image_size % 16:
        raise UsageError(
            f"image_size must be a multiple of 16 from 32 to 256. Received: {image_size}"
        )
    if channels not in (None, 1, 3):
        raise UsageError(f"channels must be 1 or 3. Received: {channels}")
    fractions = {"validation_fraction": validation_fraction, "test_fraction": test_fraction}
    for name, value in fractions.items():
        if not 0 < value < 1:
            raise UsageError(f"{name} must lie between 0 and 1. Received: {value}")


def check_any(images: Sequence[FoundImage], listing: Listing, bad: Sequence[BadFile]) -> None:
    """Checks that there is an image.

    Raises:
        DataError: if there is none.
    """
    if not images:
        raise DataError(f"{listing.root}: expected images to use. Received: none{_broken(bad)}")


def check_normals(images: Sequence[FoundImage], listing: Listing, bad: Sequence[BadFile]) -> None:
    """Checks that there are normal images where the layout has them.

    Raises:
        DataError: if there are none.
    """
    needed = (
        {"": "normal/"} if listing.layout == OWN else {"train": "train/good/", "test": "test/good/"}
    )
    for official, where in needed.items():
        if not any(i.official == official and not i.is_anomaly for i in images):
            raise DataError(
                f"{listing.root}: expected images in {where}, to learn from and to test with. "
                f"Received: none{_broken(bad)}"
            )


def parts_from(entries: Sequence[SplitEntry], listing: Listing, split_file: Path) -> dict[str, str]:
    """What a split file says of the images that are there: path -> part.

    Raises:
        DataError: if it names an image that is not there, or has it as another kind.
    """
    there = {image.path: image for image in listing.images}
    missing = [entry.path for entry in entries if entry.path not in there]
    if missing:
        raise DataError(
            f"{split_file}: expected paths of images in {listing.root}. "
            f"Received: {_few(missing)}, not there"
        )
    for entry in entries:
        image = there[entry.path]
        if (entry.kind, entry.is_anomaly) != (image.kind, image.is_anomaly):
            raise DataError(
                f"{split_file}: expected {entry.path!r} to be of kind {image.kind!r}, "
                f"{_label(image.is_anomaly)}, as its folder says. "
                f"Received: {entry.kind!r}, {_label(entry.is_anomaly)}"
            )
    others = len(there) - len(entries)
    if others:
        _LOGGER.warning("%s does not name %d images of %s", split_file, others, listing.root)
    return {entry.path: entry.part for entry in entries}


def contradictions(images: Sequence[FoundImage], digests: Mapping[str, str]) -> list[BadFile]:
    """Files that are normal images and anomalies at once, by their content."""
    same = defaultdict(list)
    for image in images:
        if image.path in digests:
            same[digests[image.path]].append(image)
    bad = []
    for group in same.values():
        if len({image.is_anomaly for image in group}) == 2:
            paths = _few([image.path for image in group])
            reason = "expected one label for one content. Received: the same file normal and"
            bad += [BadFile(image.path, f"{reason} anomalous, {paths}") for image in group]
    return bad


def without(images: Sequence[FoundImage], bad: Sequence[BadFile]) -> list[FoundImage]:
    """The images that are not among the bad files."""
    paths = {file.path for file in bad}
    return [image for image in images if image.path not in paths]


def report_bad(root: Path, bad: Sequence[BadFile], count: int, skip_bad: bool) -> None:
    """Names the bad files, in an error or, where they may be skipped, in a warning.

    Raises:
        DataError: if there are any and they may not be skipped.
    """
    if not bad:
        return
    if not skip_bad:
        raise DataError(
            f"{root}: expected usable files; mend or remove the bad ones, or go on without them by "
            f"--skip-bad. Received: {count} usable images{_broken(bad)}"
        )
    _LOGGER.warning("%s: leaving out %d bad files\n%s", root, len(bad), _named(bad))


def check_parts(
    images: Sequence[FoundImage], looks: np.ndarray, parts: np.ndarray, source: Path
) -> None:
    """Checks that a split can be learnt from and leaks nothing.

    Raises:
        DataError: if a part has no normal image or the training part but one, or a picture is in
            two parts.
    """
    normals = Counter()
    first: dict[str, tuple[str, str]] = {}
    for image, look, part in zip(images, looks.tolist(), parts.tolist(), strict=True):
        if part == "unused":
            continue
        normals[part] += not image.is_anomaly
        path, earlier = first.setdefault(look, (image.path, part))
        if earlier != part:
            raise DataError(
                f"{source}: expected equal pictures in one part, or the test would be known "
                f"beforehand. Received: {path!r} in {earlier} and {image.path!r} in {part}"
            )
    for part in ("train", "validation", "test"):
        if not normals[part]:
            raise DataError(f"{source}: expected normal images in part {part}. Received: none")
    if normals["train"] < 2:  # how normal images differ cannot be seen in one
        raise DataError(f"{source}: expected at least 2 normal images in part train. Received: 1")


def equal_pictures(images: Sequence[FoundImage], looks: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """Groups of paths whose pictures are equal."""
    groups = defaultdict(list)
    for image, look in zip(images, looks.tolist(), strict=True):
        groups[look].append(image.path)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def notes_on(
    listing: Listing,
    entries: Sequence[SplitEntry],
    is_grey: np.ndarray,
    duplicates: Sequence[Sequence[str]],
    shape: Sequence[int],
) -> tuple[str, ...]:
    """Sentences about the data that its owner should know before trusting a result.

    Args:
        listing: of the folder.
        entries: of the usable images.
        is_grey: bool [N], of the same.
        duplicates: groups of equal pictures.
        shape: (S, S, C) of the decoded images.
    """
    notes = []
    if listing.ignored:
        kinds = ", ".join(f"{n} of {suffix}" for suffix, n in listing.ignored.most_common(8))
        notes.append(f"files that are no images by their names were not read: {kinds}")
    if shape[-1] == 3 and is_grey.any():
        notes.append(
            f"{is_grey.sum()} of {len(is_grey)} images are grey, the others are coloured; where "
            "that goes with the label, it is all that will be learnt"
        )
    if duplicates:
        copies = sum(map(len, duplicates)) - len(duplicates)
        examples = _few([" = ".join(group[:3]) for group in duplicates])
        notes.append(f"{copies} images repeat another one and stay in its part: {examples}")
    label = {entry.path: entry.is_anomaly for entry in entries}
    both = [group for group in duplicates if len({label[path] for path in group}) == 2]
    if both:
        notes.append(
            f"{len(both)} pictures are normal and anomalous at once at {shape[0]}x{shape[1]} "
            f"pixels: {_few([' = '.join(group[:3]) for group in both])}"
        )
    counts = Counter((entry.part, entry.is_anomaly) for entry in entries)
    if not counts["test", True]:
        notes.append("there is no anomaly to test with: false alarms can be measured, finds cannot")
    elif listing.layout == OWN and not counts["train", True] + counts["unused", True]:
        notes.append(
            f"no anomaly is learnt from: all {counts['test', True]} are needed for testing"
        )
    if counts["unused", False]:
        notes.append(f"{counts['unused', False]} training images are in test too and not used")
    if counts["unused", True]:
        notes.append(f"{counts['unused', True]} anomalies are neither learnt from nor tested")
    return tuple(notes)


def _label(is_anomaly: bool) -> str:
    return "anomaly" if is_anomaly else "normal"


def _broken(bad: Sequence[BadFile]) -> str:
    return f" but {len(bad)} bad files\n{_named(bad)}" if bad else ""


def _named(bad: Sequence[BadFile]) -> str:
    """One line for each of the first files."""
    lines = [f"  {file.path}: {file.reason}" for file in bad[:_MOST_NAMED]]
    if len(bad) > _MOST_NAMED:
        lines.append(f"  and {len(bad) - _MOST_NAMED} more")
    return "\n".join(lines)


def _few(texts: Sequence[str]) -> str:
    shown = ", ".join(itertools.islice(texts, 3))
    return shown if len(texts) <= 3 else f"{shown} and {len(texts) - 3} more"
