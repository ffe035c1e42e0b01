"""Data sets that are folders of image files; `layout` says how they are laid out."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganad_tf.data.folder.cache import DecodedImages, decode_files, digest_files
from ganad_tf.data.folder.checks import (
    check_any,
    check_arguments,
    check_normals,
    check_parts,
    contradictions,
    equal_pictures,
    notes_on,
    parts_from,
    report_bad,
    without,
)
from ganad_tf.data.folder.layout import OWN, BadFile, FoundImage, Listing, list_folder
from ganad_tf.data.folder.masks import Places, match_masks, read_mask
from ganad_tf.data.folder.split_file import SplitEntry, draw_parts, read_split
from ganad_tf.data.image_view import Rows
from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FolderSplits(Splits):
    """The parts of a folder of images, and which file is where.

    Args:
        root: the folder.
        layout: `own` or `MVTec`.
        entries: every usable image, by path; those of a part in the order that the part has.
        masks: path of a test image -> path of its mask.
        bad: files that were left out, and why.
        duplicates: groups of paths with one and the same picture.
        notes: sentences about the data that its owner should know.
        fit: how images of other shapes came to the square; see `decoding.prepare`.
    """

    root: Path
    layout: str
    entries: tuple[SplitEntry, ...]
    masks: Mapping[str, str]
    bad: tuple[BadFile, ...]
    duplicates: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    fit: str = "stretch"

    def paths(self, part: str) -> list[str]:
        """The files of `train`, `validation`, `test` or `unused`, in the order of its images."""
        return [entry.path for entry in self.entries if entry.part == part]


def load_folder(
    path: Path,
    image_size: int,
    channels: int | None = None,
    seed: int = 0,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.3,
    skip_bad: bool = False,
    cache_dir: Path | None = None,
    split_file: Path | None = None,
    learn_anomalies: bool = True,
    fit: str = "stretch",
) -> FolderSplits:
    """Loads a folder of images and splits it.

    In the own layout, all three parts are drawn; in MVTec's, `test` stays whole and `train` gives
    the training and the validation part. Equal pictures always come into one part; training
    images that are also in MVTec's `test` are not used.

    Images stay on disk: parts larger than the memory will do.

    Args:
        path: the folder.
        image_size: S, 32 to 256, a multiple of 16; images are brought to S x S.
        channels: 1 (grey) or 3 (RGB); by default 1 if all images are grey, else 3.
        seed: of the split.
        validation_fraction: share of the images that are not for testing, in (0, 1).
        test_fraction: share of all images, in (0, 1), in the own layout.
        skip_bad: leave out files that cannot be used instead of refusing the folder.
        cache_dir: where decoded images are kept (default: see `default_cache`).
        split_file: who is in which part, as `write_split` writes it, instead of a draw. Images
            that it does not name are left out.
        learn_anomalies: whether anomalies may be in the training and the validation part; if not,
            those that would be are unused, and the test part is the same.
        fit: `stretch` images to the square, or `pad` them; see `decoding.prepare`.

    Raises:
        UsageError: if an argument is out of its range.
        DataError: if the folder is in no known layout, files in it cannot be used, the same file
            is both normal and an anomaly, or a part would have no normal image.
    """
    check_arguments(image_size, channels, validation_fraction, test_fraction)
    path = Path(path)
    listing = list_folder(path)
    given = parts_from(read_split(split_file), listing, split_file) if split_file else None
    usable = _read(listing, given, image_size, channels, cache_dir, fit)
    images, looks = usable.images, usable.decoded.looks[usable.rows]
    report_bad(path, usable.bad, len(images), skip_bad)
    if given is None:
        check_normals(images, listing, usable.bad)
        parts = _draw(listing, images, looks, validation_fraction, test_fraction, seed)
    else:
        parts = np.array([given[image.path] for image in images], "U10")
    if not learn_anomalies:
        parts[np.array([image.is_anomaly for image in images]) & (parts != "test")] = "unused"
    check_parts(images, looks, parts, split_file or path)
    splits = _splits(listing, usable, looks, parts, fit)
    for note in splits.notes:
        _LOGGER.warning("%s: %s", path, note)
    return splits


def load_masks(splits: FolderSplits) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the test images for which it is known where they are defective.

    Returns:
        masks: bool [M, S, S]; all false for normal images.
        indices: int64 [M], which images of `splits.test` they belong to, ascending. Both empty if
            the data set has no masks.
    """
    size = splits.test.images.shape[1]
    masks, indices = [], []
    entries = [entry for entry in splits.entries if entry.part == "test"]
    for index, entry in enumerate(entries if splits.masks else []):
        if not entry.is_anomaly:
            masks.append(np.zeros((size, size), bool))
        elif entry.path in splits.masks:
            masks.append(read_mask(splits.root / splits.masks[entry.path], size, splits.fit))
        else:
            continue
        indices.append(index)
    return np.array(masks, bool).reshape(-1, size, size), np.array(indices, np.int64)


@dataclass(frozen=True, eq=False)
class _Usable:
    """What is left of a listing once all files have been read: images, their digests and rows."""

    images: list[FoundImage]
    digests: Mapping[str, str]
    decoded: DecodedImages
    rows: np.ndarray
    masks: Mapping[str, str]
    bad: list[BadFile]


def _read(listing: Listing, given, image_size, channels, cache_dir, fit) -> _Usable:
    root, images, bad = listing.root, listing.images, list(listing.bad)
    if given is not None:
        # What nobody asked for may be as bad as it likes.
        images = [image for image in images if given.get(image.path, "unused") != "unused"]
        bad = []
    digests, unreadable = digest_files(root, [image.path for image in images])
    bad += [BadFile(path, reason) for path, reason in unreadable.items()]
    bad += contradictions(images, digests)
    images = without(images, bad)
    check_any(images, listing, bad) if given else check_normals(images, listing, bad)

    files = {digests[image.path]: root / image.path for image in images}
    decoded = decode_files(files, image_size, channels, cache_dir, fit)
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


def _draw(listing, images, looks, validation_fraction, test_fraction, seed) -> np.ndarray:
    """str [N]: the part of each image."""
    _, kinds = _number(images, listing.normal_name)
    if listing.layout == OWN:
        return draw_parts(kinds, looks, validation_fraction, test_fraction, seed)
    for_test = np.array([image.official == "test" for image in images])
    parts = np.where(for_test, "test", "unused").astype("U10")
    free = np.flatnonzero(~for_test & ~np.isin(looks, looks[for_test]))
    parts[free] = draw_parts(kinds[free], looks[free], validation_fraction, 0, seed)
    return parts


def _splits(listing: Listing, usable: _Usable, looks, parts, fit) -> FolderSplits:
    images, decoded = usable.images, usable.decoded
    shape = decoded.images.shape[1:]
    used = np.flatnonzero(parts != "unused")
    names, kinds = _number([images[i] for i in used], listing.normal_name)
    entries = tuple(
        SplitEntry(image.path, image.kind, image.is_anomaly, str(part))
        for image, part in zip(images, parts, strict=True)
    )
    duplicates = equal_pictures(images, looks)

    def part(name: str) -> LabelledImages:
        chosen = parts[used] == name
        pixels = Rows(decoded.images, usable.rows[used][chosen])
        return LabelledImages(pixels, kinds[chosen], names, frozenset([0]))

    def masks_in(name: str) -> dict[str, str]:
        paths = (entry.path for entry in entries if entry.part == name)
        return {path: usable.masks[path] for path in paths if path in usable.masks}

    train = part("train")
    learnt = [e.path for e in entries if e.part == "train" and e.is_anomaly]
    masks = masks_in("train")
    # Without `fit` where it is the default: fingerprints of earlier runs stay what they were.
    sha256 = hashlib.sha256(repr((shape, names, *[fit] * (fit != "stretch"))).encode())
    for entry in (entries[i] for i in used):
        sha256.update(
            f"{usable.digests[entry.path]} {entry.kind} {entry.part}\n".encode(
                errors="surrogateescape"
            )
        )
    # What is learnt from belongs to the data; masks of test images only measure.
    digests, _ = digest_files(listing.root, list(masks.values()))
    for path, mask in masks.items():
        sha256.update(f"mask {usable.digests[path]} {digests.get(mask)}\n".encode())
    return FolderSplits(
        train=train,
        validation=part("validation"),
        test=part("test"),
        normal_name=listing.normal_name,
        protocol="seen" if train.is_anomaly.any() else "none",
        fingerprint=sha256.hexdigest(),
        root=listing.root,
        layout=listing.layout,
        entries=entries,
        masks=masks_in("test"),
        places=Places(
            [listing.root / masks[path] if path in masks else None for path in learnt],
            shape[0],
            fit,
        )
        if masks
        else None,
        bad=tuple(usable.bad),
        duplicates=duplicates,
        notes=notes_on(listing, entries, decoded.is_grey[usable.rows], duplicates, shape),
        fit=fit,
    )


def _number(images: list[FoundImage], normal_name: str) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the kinds, the normal one first, and the number of each image's kind."""
    anomalous = sorted({image.kind for image in images if image.is_anomaly})
    numbers = {name: number for number, name in enumerate([normal_name, *anomalous])}
    return tuple(numbers), np.array([numbers[image.kind] for image in images], np.int64)
