"""Checks of a folder of images before training."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ganad_tf.data.account import BadFile, SplitEntry
from ganad_tf.data.folder.cache import DecodedImages
from ganad_tf.data.folder.layouts import LAYOUTS
from ganad_tf.data.folder.listing import CSV, OWN, VISA, FoundImage, Listing
from ganad_tf.data.folder.uses import notes_on_unused
from ganad_tf.errors import DataError
from ganad_tf.wording import counted, few

_LOGGER = logging.getLogger(__name__)

# Fewer grey levels between dark and bright than this are worth a note.
MIN_SPAN = 32
_MAX_NAMED, _MAX_LEFT_OUT = 20, 6  # bad files named in an error and in a warning


def check_any(images: Sequence[FoundImage], listing: Listing, bad: Sequence[BadFile]) -> None:
    """Checks that there is an image.

    Raises:
        DataError: if there is none.
    """
    if not images:
        received = f"none{_others(listing)}{_broken(bad)}"
        raise DataError(f"{listing.source}: expected images to use. Received: {received}")


def check_normals(images: Sequence[FoundImage], listing: Listing, bad: Sequence[BadFile]) -> None:
    """Checks that there are normal images in each folder in which the layout needs some.

    Raises:
        DataError: if one of these folders has none, or a table has a split without test images.
    """
    needed = [""] if listing.layout == OWN else []
    if listing.layout not in (OWN, CSV, VISA) or listing.is_split:
        needed = ["train", "test"]
    elif n_split := sum(image.official != "" for image in images):
        # Drawn parts would test with images that are marked as training images.
        raise DataError(
            f"{listing.source}: expected images with the split test beside the others, or no split "
            f"at all. Received: {n_split} images with a split, none of them test{_broken(bad)}"
        )
    for part in needed:
        if not any(i.official == part and not i.is_anomaly for i in images):
            normals = LAYOUTS[listing.layout].normals.format(part=part, name=listing.normal_name)
            n_unsplit = sum(not i.official for i in images) if part else 0
            unsplit = f", and {counted(n_unsplit, 'image')} without a split" if n_unsplit else ""
            raise DataError(
                f"{listing.source}: expected {normals}, to learn from and to test with. "
                f"Received: none{unsplit}{_others(listing)}{_broken(bad)}"
            )


def _others(listing: Listing) -> str:
    """What there is instead of images, by reason."""
    counts: Counter[str] = Counter()
    for (_, reason), names in listing.ignored.items():
        counts[reason] += len(names)
    texts = [f"{count} ignored, {reason}" for reason, count in counts.most_common(3)]
    return f" ({'; '.join(texts)})" if texts else ""


def contradictions(images: Sequence[FoundImage], digests: Mapping[str, str]) -> list[BadFile]:
    """Files with one content that are both among the normal images and among the anomalies.

    Args:
        images: with their labels.
        digests: path -> sha256 of the content.
    """
    same: defaultdict[str, list[FoundImage]] = defaultdict(list)
    for image in images:
        if image.path in digests:
            same[digests[image.path]].append(image)
    bad = []
    for group in same.values():
        if len({image.is_anomaly for image in group}) == 2:
            paths = few([image.path for image in group])
            reason = "expected one label for one content. Received: the same file normal and"
            bad += [BadFile(image.path, f"{reason} anomalous, {paths}") for image in group]
    return bad


def without(images: Sequence[FoundImage], bad: Sequence[BadFile]) -> list[FoundImage]:
    """The images whose files are not among the bad ones."""
    paths = {file.path for file in bad}
    return [image for image in images if image.path not in paths]


def report_bad(root: Path, bad: Sequence[BadFile], count: int, skip_bad: bool) -> None:
    """Names the bad files: in a warning if they may be skipped, else in an error.

    Args:
        root: the data folder.
        bad: the bad files.
        count: the number of usable images.
        skip_bad: whether bad files may be skipped.

    Raises:
        DataError: if there are bad files and they may not be skipped.
    """
    if not bad:
        return
    if not skip_bad:
        raise DataError(
            f"{root}: expected usable files; mend or remove the bad ones, or go on without them by "
            f"--skip-bad. Received: {counted(count, 'usable image')}{_broken(bad)}"
        )
    left_out = counted(len(bad), "bad file")
    _LOGGER.warning("%s: leaving out %s\n%s", root, left_out, _named(bad, _MAX_LEFT_OUT))


def check_parts(
    images: Sequence[FoundImage], pixel_digests: np.ndarray, parts: np.ndarray, source: Path
) -> None:
    """Checks that a split can be trained on and leaks nothing from one part to another.

    Args:
        images: the usable images.
        pixel_digests: str [N], equal for equal pixels.
        parts: str [N], the part of each image.
        source: the file or folder that errors name.

    Raises:
        DataError: if a part has no normal image, the training part has only one, or images with
            equal pixels are in two parts.
    """
    normals: Counter[str] = Counter()
    first: dict[str, tuple[str, str]] = {}
    for image, digest, part in zip(images, pixel_digests.tolist(), parts.tolist(), strict=True):
        if part == "unused":
            continue
        normals[part] += not image.is_anomaly
        path, earlier = first.setdefault(digest, (image.path, part))
        if earlier != part:
            raise DataError(
                f"{source}: expected equal images in one part, so that no test image is known "
                f"from training. Received: {path!r} in {earlier} and {image.path!r} in {part}"
            )
    for part in ("train", "validation", "test"):
        if not normals[part]:
            raise DataError(f"{source}: expected normal images in part {part}. Received: none")
    if normals["train"] < 2:  # one image does not show how normal images differ
        raise DataError(f"{source}: expected at least 2 normal images in part train. Received: 1")


def equal_images(
    images: Sequence[FoundImage], pixel_digests: np.ndarray
) -> tuple[tuple[str, ...], ...]:
    """Groups of two or more paths whose images have equal pixels.

    Args:
        images: N images.
        pixel_digests: str [N], equal for equal pixels.
    """
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for image, digest in zip(images, pixel_digests.tolist(), strict=True):
        groups[digest].append(image.path)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def notes_on(
    listing: Listing,
    entries: Sequence[SplitEntry],
    is_grey: np.ndarray,
    duplicates: Sequence[Sequence[str]],
    shape: Sequence[int],
    is_given: bool = False,
) -> tuple[str, ...]:
    """Sentences about the data that the user should know before trusting a result.

    Args:
        listing: of the folder.
        entries: of the usable images.
        is_grey: bool [N], whether each of them is grey.
        duplicates: groups of paths whose images have equal pixels.
        shape: (S, S, C) of the decoded images.
        is_given: whether a split file gives the parts.
    """
    notes = notes_on_unused(listing)
    if shape[-1] == 3 and is_grey.any():
        notes.append(
            f"{is_grey.sum()} of {len(is_grey)} images are grey, the others are coloured; if "
            "colour goes with the label, the model may learn nothing else"
        )
    if duplicates:
        copies = sum(map(len, duplicates)) - len(duplicates)
        examples = few([" = ".join(group[:3]) for group in duplicates])
        repeat = "image repeats" if copies == 1 else "images repeat"
        notes.append(f"{copies:,} {repeat} another one and go to the same part: {examples}")
    label = {entry.path: entry.is_anomaly for entry in entries}
    both = [group for group in duplicates if len({label[path] for path in group}) == 2]
    if both:
        notes.append(
            f"{len(both)} images are both normal and anomalous at {shape[0]}x{shape[1]} "
            f"pixels: {few([' = '.join(group[:3]) for group in both])}"
        )
    counts = Counter((entry.part, entry.is_anomaly) for entry in entries)
    if not counts["test", True]:
        notes.append("there is no anomaly to test with: only false alarms can be measured")
    elif not (is_given or listing.is_split) and not counts["train", True] + counts["unused", True]:
        notes.append(f"no anomaly is used for training, only for testing: {counts['test', True]}")
    return (*notes, *_notes_on_parts(listing, entries, is_given))


def _notes_on_parts(
    listing: Listing, entries: Sequence[SplitEntry], is_given: bool
) -> Iterator[str]:
    """Why usable images are in no part; the arguments are those of `notes_on`."""
    unused = [entry for entry in entries if entry.part == "unused"]
    if listing.is_split and not is_given:
        official = {image.path: image.official for image in listing.images}
        known = [entry for entry in unused if official[entry.path]]
        if len(known) < len(unused):
            count = len(unused) - len(known)
            yield f"{count} images are without a split, unlike others, and are not used"
        unused = known
    anomalies = sum(entry.is_anomaly for entry in unused)
    if normal := len(unused) - anomalies:
        yield (
            f"{normal} normal images are left out by the split file"
            if is_given
            else f"{normal} training images are also in the test part and are not used"
        )
    if anomalies:
        yield f"{anomalies} anomalies are used neither for training nor for testing"


def notes_on_depth(decoded: DecodedImages, rows: np.ndarray) -> tuple[str, ...]:
    """What should be known about 16-bit files.

    Args:
        decoded: the decoded files.
        rows: int64 [N], the rows of the usable images.
    """
    spans = decoded.spans[rows]
    deep = spans[spans > 0]
    if not len(deep):
        return ()
    highest = 2**decoded.bit_depth - 1
    notes = [
        f"{len(deep)} images have 16 bits and are scaled from 0..{highest} to 0..255 (--bit-depth "
        f"{decoded.bit_depth})"
    ]
    if np.median(deep) < MIN_SPAN:
        notes.append(
            f"half of the 16-bit images use at most {int(np.median(deep))} of 256 grey levels; if "
            "the camera has fewer bits, --bit-depth keeps more of them"
        )
    return tuple(notes)


def notes_on_pages(images: Sequence[FoundImage], has_more: np.ndarray) -> tuple[str, ...]:
    """What should be known about files of several frames or pages.

    Args:
        images: N images.
        has_more: bool [N], whether the file has more than the one that is used.
    """
    paths = [image.path for image, more in zip(images, has_more, strict=True) if more]
    if not paths:
        return ()
    files = "1 file has" if len(paths) == 1 else f"{len(paths)} files have"
    return (f"{files} several frames or pages, of which the first is used: {few(paths)}",)


def _broken(bad: Sequence[BadFile]) -> str:
    return f" but {counted(len(bad), 'bad file')}\n{_named(bad)}" if bad else ""


def _named(bad: Sequence[BadFile], most: int = _MAX_NAMED) -> str:
    """One line for each of the first files."""
    lines = [f"  {file.path}: {file.reason}" for file in bad[:most]]
    if len(bad) > most:
        lines.append(f"  and {len(bad) - most} more")
    return "\n".join(lines)
