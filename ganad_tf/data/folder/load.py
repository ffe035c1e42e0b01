"""Loads a folder of image files and splits it; `layouts` describes the known ones."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ganad_tf.data.account import BadFile, FolderAccount, SplitEntry
from ganad_tf.data.folder.cache import decode_files
from ganad_tf.data.folder.checks import (
    check_any,
    check_normals,
    check_parts,
    contradictions,
    equal_images,
    notes_on,
    notes_on_depth,
    notes_on_pages,
    report_bad,
    without,
)
from ganad_tf.data.folder.enlarged import enlarged_parts
from ganad_tf.data.folder.given_split import GivenSplit, given_split
from ganad_tf.data.folder.image_size import natural_size
from ganad_tf.data.folder.layouts import list_folder
from ganad_tf.data.folder.listing import FoundImage, Listing
from ganad_tf.data.folder.masks import match_masks
from ganad_tf.data.folder.near_duplicates import (
    describe_near_duplicates,
    find_near_duplicates,
)
from ganad_tf.data.folder.options import FolderOptions
from ganad_tf.data.folder.parallel import digest_files
from ganad_tf.data.folder.split_file import draw_parts
from ganad_tf.data.folder.usable import Usable, fingerprint
from ganad_tf.data.folder.uses import describe_use
from ganad_tf.data.image_files.decoding import MAX_PIXELS
from ganad_tf.data.image_view import ImageView
from ganad_tf.data.images import LabelledImages
from ganad_tf.data.masks import Masks
from ganad_tf.data.splits import Splits
from ganad_tf.errors import DataError

_LOGGER = logging.getLogger(__name__)


def load_folder(path: Path, options: FolderOptions | int, cache_dir: Path | None = None) -> Splits:
    """Loads a folder of images and splits it.

    Where the layout has a test part, it stays whole, and `train` is split into the training and
    the validation part unless there is one, too. Otherwise all three parts are drawn. Images with
    equal pixels always get the same part; training images that are also in the test part are not
    used.

    Images stay on disk, so that a part may be larger than the memory.

    Args:
        path: the folder, or a CSV file; see `ganad_tf.data.folder.layouts`.
        options: how it is read and split, or the image size alone.
        cache_dir: where decoded images are kept (default: see `default_cache`).

    Returns:
        The splits. Their images know their paths and masks, and `folder` describes all files.

    Raises:
        DataError: if the folder is in no known layout, files in it cannot be used, the same file
            is both normal and an anomaly, or a part would have no normal image.
    """
    path = Path(path)
    if isinstance(options, int):
        options = FolderOptions(image_size=options)
    listing = list_folder(path)
    given = None
    if options.split_file:
        given = given_split(options.split_file, listing)
        listing = given.listing
    usable = _read(listing, given, options, cache_dir)
    _LOGGER.info("%s: %s layout", path, listing.layout)
    for line in describe_use(listing, usable.masks.folders, usable.bad):
        _LOGGER.info("%s", line)
    report_bad(path, usable.bad, len(usable.images), options.skip_bad)
    parts = _parts(listing, usable, given, options)
    check_parts(usable.images, usable.pixel_digests, parts, options.split_file or path)
    splits = _splits(listing, usable, parts, given, options)
    assert splits.folder is not None
    for note in splits.folder.notes:
        _LOGGER.warning("%s: %s", path, note)
    return splits


def _read(
    listing: Listing,
    given: GivenSplit | None,
    options: FolderOptions,
    cache_dir: Path | None,
) -> Usable:
    """Reads and decodes the images, and finds their masks.

    Args:
        listing: of the folder.
        given: from a split file, or None.
        options: of `load_folder`.
        cache_dir: of `load_folder`.
    """
    root, images, bad = listing.root, listing.images, list(listing.bad)
    if given is not None:
        bad = []  # files that the split file does not name, or does not use, need not be readable
    if options.image_size is None:
        size = natural_size([root / image.path for image in images], options.max_pixels)
        options = dataclasses.replace(options, image_size=size)
    digests, unreadable = digest_files(root, [image.path for image in images])
    bad += [BadFile(path, reason) for path, reason in unreadable.items()]
    unused = {path for path, part in given.parts.items() if part == "unused"} if given else set()
    images = without(images, bad)
    check_any(images, listing, bad)
    if not given:
        check_normals(images, listing, bad)

    files = {digests[image.path]: root / image.path for image in images}
    decoded = decode_files(files, options.reading, cache_dir)
    for image in images:
        row = decoded.rows[digests[image.path]]
        if row in decoded.reasons:
            bad.append(BadFile(image.path, decoded.reasons[row]))
    images = without(images, bad)
    bad += contradictions([image for image in images if image.path not in unused], digests)
    images = without(images, bad)
    bad = [file for file in bad if file.path not in unused]
    readable = {image.path for image in images}
    masks = match_masks(listing, readable, options.max_pixels, strays_are_bad=given is None)
    bad += masks.bad
    rows = np.array([decoded.rows[digests[image.path]] for image in images], np.int64)
    assert options.image_size is not None
    return Usable(images, digests, decoded, rows, masks, options.image_size, bad)


def _parts(
    listing: Listing, usable: Usable, given: GivenSplit | None, options: FolderOptions
) -> np.ndarray:
    """str [N]: the part of each image."""
    paths = [image.path for image in usable.images]
    if given is None:
        check_normals(usable.images, listing, usable.bad)
        try:
            parts = _draw(listing, usable, options)
        except DataError as error:
            raise DataError(f"{listing.source}: {error}") from None
        if options.earlier:
            equal = equal_images(usable.images, usable.pixel_digests)
            drawn = dict(zip(paths, parts.tolist(), strict=True))
            known = enlarged_parts(options.earlier, drawn, equal)
            parts = np.array([known[path] for path in paths], "U10")
    else:
        parts = np.array([given.parts[path] for path in paths], "U10")
    if not options.learn_anomalies:
        is_anomaly = np.array([image.is_anomaly for image in usable.images])
        parts[is_anomaly & (parts != "test")] = "unused"
    return parts


def _draw(listing: Listing, usable: Usable, options: FolderOptions) -> np.ndarray:
    """str [N]: the part of each image, at random where the layout has none."""
    images, digests = usable.images, usable.pixel_digests
    _, kinds = _number(images, listing.normal_name)
    held_out, seed = options.validation_fraction, options.seed
    if not listing.is_split:
        return draw_parts(kinds, digests, held_out, options.test_fraction, seed)
    official = np.array([image.official for image in images], "U10")
    parts = np.where(official == "test", "test", "unused").astype("U10")
    for part in ("validation", "train"):
        taken = digests[parts != "unused"]
        free = np.flatnonzero((official == part) & ~np.isin(digests, taken))
        parts[free] = part
    if not (parts == "validation").any():
        free = np.flatnonzero(parts == "train")
        drawn = draw_parts(kinds[free], digests[free], held_out, 0, seed)
        # A single anomaly is not enough for both parts; it is learnt from.
        parts[free] = np.where(drawn == "unused", "train", drawn)
    return parts


def _splits(
    listing: Listing,
    usable: Usable,
    parts: np.ndarray,
    given: GivenSplit | None,
    options: FolderOptions,
) -> Splits:
    """The splits in which image i is in `parts[i]`."""
    data = _labelled(listing, usable, parts, given, options)
    used = parts[parts != "unused"]
    train, validation, test = (
        data.subset(np.flatnonzero(used == part)) for part in ("train", "validation", "test")
    )
    entries = tuple(
        SplitEntry(
            *(image.path, image.kind, image.is_anomaly, str(part)),
            masks=usable.masks.of.get(image.path, ()),
        )
        for image, part in zip(usable.images, parts, strict=True)
    )
    if given:  # all its lines, so that a run's split file stays as it was
        known = {entry.path: entry for entry in entries}
        entries = tuple(
            known.get(entry.path, dataclasses.replace(entry, part="unused"))
            for entry in sorted(given.entries, key=lambda entry: entry.path)
        )
    duplicates = equal_images(usable.images, usable.pixel_digests)
    copies = find_near_duplicates(usable, parts)
    is_grey = usable.decoded.is_grey[usable.rows]
    shape = data.images.shape[1:]
    return Splits(
        train=train,
        validation=validation,
        test=test,
        normal_name=listing.normal_name,
        protocol="seen" if train.is_anomaly.any() else "none",
        fingerprint=fingerprint(listing.root, usable, entries, data, options.resize),
        resize=options.resize,
        bit_depth=usable.decoded.bit_depth,
        max_pixels=options.max_pixels or MAX_PIXELS,
        folder=FolderAccount(
            root=listing.root,
            layout=listing.layout,
            entries=entries,
            bad=tuple(usable.bad),
            duplicates=duplicates,
            near_duplicates=copies,
            notes=(
                *notes_on(listing, entries, is_grey, duplicates, shape, given is not None),
                *describe_near_duplicates(copies),
                *usable.masks.notes,
                *notes_on_depth(usable.decoded, usable.rows),
                *notes_on_pages(usable.images, usable.decoded.has_more[usable.rows]),
            ),
            uses=describe_use(listing, usable.masks.folders, usable.bad),
        ),
    )


def _labelled(
    listing: Listing,
    usable: Usable,
    parts: np.ndarray,
    given: GivenSplit | None,
    options: FolderOptions,
) -> LabelledImages:
    """All images that are in one of the three parts."""
    used = np.flatnonzero(parts != "unused")
    images = [usable.images[index] for index in used]
    # Kinds keep their numbers when none of their images is used or there any more.
    everything = given.entries if given else usable.images
    names, kinds = _number(images, listing.normal_name, everything)
    mask_files = [usable.masks.of.get(image.path) for image in images]
    return LabelledImages(
        ImageView(usable.decoded.images, usable.rows[used]),
        kinds,
        names,
        frozenset([0]),
        tuple(image.path for image in images),
        Masks(
            [tuple(listing.root / f for f in files) if files else None for files in mask_files],
            np.array([image.is_anomaly for image in images], bool),
            usable.decoded.images.shape[1],
            options.resize,
            options.max_pixels,
        ),
        usable.decoded.file_statistics[usable.rows[used]],
    )


def _number(
    images: Sequence[FoundImage],
    normal_name: str,
    everything: Sequence[FoundImage | SplitEntry] | None = None,
) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the kinds, the normal one first, and the number of each image's kind.

    Args:
        images: whose kinds are numbered.
        normal_name: of the normal kind.
        everything: whose kinds have names (default: `images`).
    """
    anomalous = sorted({one.kind for one in everything or images if one.is_anomaly})
    numbers = {name: number for number, name in enumerate([normal_name, *anomalous])}
    return tuple(numbers), np.array([numbers[image.kind] for image in images], np.int64)
