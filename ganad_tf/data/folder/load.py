"""Loads a folder of image files and splits it; `layout` describes the known folder layouts."""

import dataclasses
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganad_tf.data.folder.account import FolderAccount
from ganad_tf.data.folder.cache import DecodedImages, decode_files
from ganad_tf.data.folder.checks import (
    check_any,
    check_normals,
    check_parts,
    contradictions,
    equal_images,
    notes_on,
    parts_from,
    report_bad,
    without,
)
from ganad_tf.data.folder.decoding import MAX_PIXELS
from ganad_tf.data.folder.image_size import natural_size
from ganad_tf.data.folder.layout import OWN, BadFile, FoundImage, Listing, list_folder
from ganad_tf.data.folder.masks import match_masks
from ganad_tf.data.folder.options import FolderOptions
from ganad_tf.data.folder.parallel import digest_files
from ganad_tf.data.folder.split_file import SplitEntry, draw_parts, read_split
from ganad_tf.data.image_view import ImageView
from ganad_tf.data.images import LabelledImages
from ganad_tf.data.masks import Masks
from ganad_tf.data.splits import Splits

_LOGGER = logging.getLogger(__name__)


def load_folder(path: Path, options: FolderOptions, cache_dir: Path | None = None) -> Splits:
    """Loads a folder of images and splits it.

    In the own layout, all three parts are drawn. In MVTec's layout, `test` stays whole and `train`
    is split into the training and the validation part. Images with equal pixels always get the same
    part; training images that are also in MVTec's `test` are not used.

    Images stay on disk, so that a part may be larger than the memory.

    Args:
        path: the folder.
        options: how it is read and split.
        cache_dir: where decoded images are kept (default: see `default_cache`).

    Returns:
        The splits. Their images know their paths and masks, and `folder` describes all files.

    Raises:
        DataError: if the folder is in no known layout, files in it cannot be used, the same file
            is both normal and an anomaly, or a part would have no normal image.
    """
    path = Path(path)
    listing = list_folder(path)
    if options.image_size is None:
        size = natural_size(
            [listing.root / image.path for image in listing.images], options.max_pixels
        )
        options = dataclasses.replace(options, image_size=size)
    split_file = options.split_file
    given = parts_from(read_split(split_file), listing, split_file) if split_file else None
    usable = _read(listing, given, options, cache_dir)
    report_bad(path, usable.bad, len(usable.images), options.skip_bad)
    if given is None:
        check_normals(usable.images, listing, usable.bad)
        parts = _draw(listing, usable, options)
    else:
        parts = np.array([given[image.path] for image in usable.images], "U10")
    if not options.learn_anomalies:
        is_anomaly = np.array([image.is_anomaly for image in usable.images])
        parts[is_anomaly & (parts != "test")] = "unused"
    check_parts(usable.images, usable.pixel_digests, parts, split_file or path)
    splits = _splits(listing, usable, parts, options)
    assert splits.folder is not None
    for note in splits.folder.notes:
        _LOGGER.warning("%s: %s", path, note)
    return splits


@dataclass(frozen=True, eq=False)
class _Usable:
    """The usable images of a folder, after all files have been read.

    Args:
        images: N images.
        digests: path -> sha256 of the content.
        decoded: the decoded contents.
        rows: int64 [N], the row of each image in `decoded`.
        masks: path of an anomaly -> path of its mask.
        bad: files that cannot be used.
    """

    images: list[FoundImage]
    digests: Mapping[str, str]
    decoded: DecodedImages
    rows: np.ndarray
    masks: Mapping[str, str]
    bad: list[BadFile]

    @property
    def pixel_digests(self) -> np.ndarray:
        """str [N], equal for equal pixels."""
        return self.decoded.pixel_digests[self.rows]


def _read(
    listing: Listing,
    given: Mapping[str, str] | None,
    options: FolderOptions,
    cache_dir: Path | None,
) -> _Usable:
    """Reads and decodes the images, and finds their masks.

    Args:
        listing: of the folder.
        given: path -> part, from a split file, or None.
        options: of `load_folder`.
        cache_dir: of `load_folder`.
    """
    root, images, bad = listing.root, listing.images, list(listing.bad)
    if given is not None:
        # Files that the split file does not use need not be readable.
        images = [image for image in images if given.get(image.path, "unused") != "unused"]
        bad = []
    digests, unreadable = digest_files(root, [image.path for image in images])
    bad += [BadFile(path, reason) for path, reason in unreadable.items()]
    bad += contradictions(images, digests)
    images = without(images, bad)
    if given:
        check_any(images, listing, bad)
    else:
        check_normals(images, listing, bad)

    files = {digests[image.path]: root / image.path for image in images}
    decoded = decode_files(files, options.reading, cache_dir)
    for image in images:
        row = decoded.rows[digests[image.path]]
        if row in decoded.reasons:
            bad.append(BadFile(image.path, decoded.reasons[row]))
    images = without(images, bad)
    readable = {image.path for image in images}
    masks, misfits = match_masks(root, listing.layout, listing.images, readable)
    bad += misfits
    rows = np.array([decoded.rows[digests[image.path]] for image in images], np.int64)
    return _Usable(images, digests, decoded, rows, masks, bad)


def _draw(listing: Listing, usable: _Usable, options: FolderOptions) -> np.ndarray:
    """str [N]: the part of each image."""
    images, digests = usable.images, usable.pixel_digests
    _, kinds = _number(images, listing.normal_name)
    held_out, seed = options.validation_fraction, options.seed
    if listing.layout == OWN:
        return draw_parts(kinds, digests, held_out, options.test_fraction, seed)
    for_test = np.array([image.official == "test" for image in images])
    parts = np.where(for_test, "test", "unused").astype("U10")
    free = np.flatnonzero(~for_test & ~np.isin(digests, digests[for_test]))
    parts[free] = draw_parts(kinds[free], digests[free], held_out, 0, seed)
    return parts


def _splits(listing: Listing, usable: _Usable, parts: np.ndarray, options: FolderOptions) -> Splits:
    """The splits in which image i is in `parts[i]`."""
    data = _labelled(listing, usable, parts, options)
    used = parts[parts != "unused"]
    train, validation, test = (
        data.subset(np.flatnonzero(used == part)) for part in ("train", "validation", "test")
    )
    entries = tuple(
        SplitEntry(image.path, image.kind, image.is_anomaly, str(part))
        for image, part in zip(usable.images, parts, strict=True)
    )
    duplicates = equal_images(usable.images, usable.pixel_digests)
    is_grey = usable.decoded.is_grey[usable.rows]
    shape = data.images.shape[1:]
    return Splits(
        train=train,
        validation=validation,
        test=test,
        normal_name=listing.normal_name,
        protocol="seen" if train.is_anomaly.any() else "none",
        fingerprint=_fingerprint(listing.root, usable, entries, data, options.resize),
        resize=options.resize,
        bit_depth=usable.decoded.bit_depth,
        max_pixels=options.max_pixels or MAX_PIXELS,
        folder=FolderAccount(
            root=listing.root,
            layout=listing.layout,
            entries=entries,
            bad=tuple(usable.bad),
            duplicates=duplicates,
            notes=notes_on(listing, entries, is_grey, duplicates, shape),
        ),
    )


def _labelled(
    listing: Listing, usable: _Usable, parts: np.ndarray, options: FolderOptions
) -> LabelledImages:
    """All images that are in one of the three parts."""
    used = np.flatnonzero(parts != "unused")
    images = [usable.images[index] for index in used]
    names, kinds = _number(images, listing.normal_name)
    mask_files = [usable.masks.get(image.path) for image in images]
    return LabelledImages(
        ImageView(usable.decoded.images, usable.rows[used]),
        kinds,
        names,
        frozenset([0]),
        tuple(image.path for image in images),
        Masks(
            [None if file is None else listing.root / file for file in mask_files],
            np.array([image.is_anomaly for image in images], bool),
            usable.decoded.images.shape[1],
            options.resize,
        ),
    )


def _fingerprint(
    root: Path,
    usable: _Usable,
    entries: Sequence[SplitEntry],
    data: LabelledImages,
    resize: str,
) -> str:
    """sha256 of the contents, kinds and parts of the images, and of the masks that are trained on.

    It must stay what it was in earlier versions, so that their runs can be resumed and exported.
    Hence the default of `resize` and the usual way to read a file are not part of it.
    """
    changed = [resize] if resize != "stretch" else []
    used = [entry.part != "unused" for entry in entries]
    # Files that earlier versions read otherwise; the ordinary ones are read as before.
    readings = {reading for reading in usable.decoded.readings[usable.rows[used]] if reading}
    if readings:
        changed.append(f"{sorted(readings)} {usable.decoded.bit_depth}")
    sha256 = hashlib.sha256(repr((data.images.shape[1:], data.kind_names, *changed)).encode())
    for entry in entries:
        if entry.part != "unused":
            line = f"{usable.digests[entry.path]} {entry.kind} {entry.part}\n"
            sha256.update(line.encode(errors="surrogateescape"))
    # Masks of test images are left out: they only measure.
    masks = {
        entry.path: usable.masks[entry.path]
        for entry in entries
        if entry.part == "train" and entry.path in usable.masks
    }
    digests, _ = digest_files(root, list(masks.values()))
    for path, mask in masks.items():
        sha256.update(f"mask {usable.digests[path]} {digests.get(mask)}\n".encode())
    return sha256.hexdigest()


def _number(images: Sequence[FoundImage], normal_name: str) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the kinds, the normal one first, and the number of each image's kind."""
    anomalous = sorted({image.kind for image in images if image.is_anomaly})
    numbers = {name: number for number, name in enumerate([normal_name, *anomalous])}
    return tuple(numbers), np.array([numbers[image.kind] for image in images], np.int64)
