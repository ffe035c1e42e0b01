"""A cache of decoded images on disk, so that every file is decoded only once."""

import errno
import hashlib
import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import PIL

from ganad_tf.atomic_files import remove_unfinished, replace_dir
from ganad_tf.data.folder.cache_folder import cache_error, default_cache, one_writer
from ganad_tf.data.folder.decode_file import (
    ColourFoundError,
    Decoded,
    DeepFoundError,
    Reading,
    decode_one,
)
from ganad_tf.data.folder.parallel import in_threads
from ganad_tf.data.image_files.decoding import open_image
from ganad_tf.data.image_files.deep_pixels import deep_rows, is_deep
from ganad_tf.data.image_files.formats import reads_heif
from ganad_tf.errors import DataError
from ganad_tf.settings.names import BIT_DEPTHS
from ganad_tf.wording import counted

_LOGGER = logging.getLogger(__name__)

# Raise it when decoding or the stored record changes, so that older entries are not used.
_VERSION = 9
_RECORD = (
    *("pixel_digests", "is_grey", "reasons", "readings", "spans", "file_statistics"),
    *("thumbnails", "hashes", "has_more"),
    "bit_depth",  # the only one that is not a column
)


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """Images of one size, one for each distinct file content.

    Args:
        images: uint8 [M, S, S, C], a memory map; zeros where a file could not be decoded.
        rows: sha256 of a file's content -> its row in `images`.
        reasons: row -> why its file could not be decoded.
        pixel_digests: str [M], equal for equal pixels, such as one image saved in two formats.
        is_grey: bool [M], whether red, green and blue are equal in every pixel.
        readings: str [M], how a file is read otherwise than by earlier versions: `turned` by its
            EXIF data, in `deep colours`, by a `bit depth` below 16. Empty for others, and for
            large JPEG files, which earlier versions decoded at their full size.
        spans: int [M], how many of the 256 grey levels lie between the darkest and the brightest
            pixel; 0 for 8-bit files.
        file_statistics: float64 [M, 3]; see `ganad_tf.data.image_statistics.measure_file`.
        thumbnails: uint8 [M, 32, 32], small grey versions.
        hashes: uint64 [M], perceptual hashes; see `ganad_tf.data.folder.thumbnails`.
        has_more: bool [M], whether a file has several frames or pages.
        bit_depth: of 16-bit files; 16 if there are none.
    """

    images: np.ndarray
    rows: Mapping[str, int]
    reasons: Mapping[int, str]
    pixel_digests: np.ndarray
    is_grey: np.ndarray
    readings: np.ndarray
    spans: np.ndarray
    file_statistics: np.ndarray
    thumbnails: np.ndarray
    hashes: np.ndarray
    has_more: np.ndarray
    bit_depth: int


def decode_files(
    files: Mapping[str, Path], reading: Reading, cache_dir: Path | None = None
) -> DecodedImages:
    """Decodes files, or takes the decoded images from the cache.

    The cache depends only on the contents of the files, not on their names, folders and labels.

    Args:
        files: sha256 of the content -> a file with that content; at least one.
        reading: how they are read.
        cache_dir: folder of the cache (default: `default_cache()`).

    Raises:
        DataError: if the cache cannot be written.
    """
    folder = (cache_dir or default_cache()) / _key(files, reading)
    kept = _load(folder, files)
    if kept is not None:
        return kept
    try:
        with one_writer(folder):
            remove_unfinished(folder.parent, of=folder.name)
            # Another process may have written it in the meantime.
            kept = _load(folder, files)
            if kept is None:
                with replace_dir(folder) as temporary:
                    _decode_as_needed(temporary, files, reading)
                kept = _load(folder, files)
                failed = len(kept.reasons) if kept else 0
                decoded = counted(len(files) - failed, "decoded image")
                _LOGGER.info("kept %s in %s", decoded, folder)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOSPC, errno.EDQUOT):
            raise cache_error(folder.parent, error) from None
        # On file systems without locks another process may have been faster.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    kept = kept or _load(folder, files)
    if kept is None:
        raise DataError(f"{folder}: expected the images just decoded. Received: damaged files")
    return kept


def _key(files: Mapping[str, Path], reading: Reading) -> str:
    settings = f"{_VERSION} {PIL.__version__} {reads_heif()} {reading}"
    return hashlib.sha256(" ".join([settings, *sorted(files)]).encode()).hexdigest()[:32]


def _decode_as_needed(folder: Path, files: Mapping[str, Path], reading: Reading) -> None:
    """Decodes in grey and without a bit depth first, and again if the files turn out otherwise."""
    all_grey = reading.channels is None
    reading = replace(reading, channels=reading.channels or 1)
    while True:
        try:
            return _decode(folder, files, reading, all_grey)
        except ColourFoundError:
            reading, all_grey = replace(reading, channels=3), False
        except DeepFoundError:
            reading = replace(reading, bit_depth=_find_bit_depth(files, reading))


def _find_bit_depth(files: Mapping[str, Path], reading: Reading) -> int:
    """The smallest bit depth that holds all values of 16-bit files."""

    def largest_value(path: Path) -> int:
        try:
            with open_image(path, reading.max_pixels) as image:
                rows = (deep_rows(image) or ()) if is_deep(image) else ()
                return max((int(_without_opacity(some).max()) for some in rows), default=0)
        except Exception:  # a damaged file; `_decode` gives the reason
            return 0

    largest = max(in_threads(largest_value, files.values(), "finding the bit depth"))
    return next(depth for depth in BIT_DEPTHS if largest < 2**depth)


def _without_opacity(values: np.ndarray) -> np.ndarray:
    return values if values.ndim == 2 else values[..., :3]


def _decode(folder: Path, files: Mapping[str, Path], reading: Reading, all_grey: bool) -> None:
    """Writes images.npy and record.npz.

    Raises:
        ColourFoundError: if `all_grey` and an image is coloured.
        DeepFoundError: if an image has 16 bits and the bit depth is not known.
    """
    shape = (reading.image_size, reading.image_size, reading.channels or 1)
    decoded: list[Decoded] = []
    pixel_digests: list[str] = []
    with open(folder / "images.npy", "wb") as file:
        # Written as a stream: if the disk is full, a memory map would kill the process.
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(files), *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        paths = [files[digest] for digest in sorted(files)]
        for one in in_threads(lambda path: decode_one(path, reading), paths, "decoding"):
            if all_grey and not one.is_grey:
                raise ColourFoundError
            failed = one.pixels is None
            stored = np.zeros(shape, np.uint8) if failed else np.ascontiguousarray(one.pixels)
            file.write(stored.data)
            pixel_digests.append("" if failed else hashlib.sha256(stored.data).hexdigest()[:32])
            decoded.append(replace(one, pixels=None))
    np.savez(
        folder / "record.npz",
        pixel_digests=pixel_digests,
        is_grey=[one.is_grey for one in decoded],
        reasons=[one.reason for one in decoded],
        readings=[one.reading for one in decoded],
        spans=[one.span for one in decoded],
        file_statistics=[one.file_statistics for one in decoded],
        thumbnails=np.stack([one.thumbnail for one in decoded]),
        hashes=np.array([one.hash for one in decoded], np.uint64),
        has_more=[one.has_more for one in decoded],
        bit_depth=reading.bit_depth or 16,
    )


def _load(folder: Path, files: Mapping[str, Path]) -> DecodedImages | None:
    """The cached images in `folder`, or None if there are none or they are damaged."""
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        with np.load(folder / "record.npz", allow_pickle=False) as archive:
            record = {name: archive[name] for name in _RECORD}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if any(len(column) != len(files) for column in (images, *list(record.values())[:-1])):
        return None
    reasons = record.pop("reasons")
    bit_depth = int(record.pop("bit_depth"))
    return DecodedImages(
        images,
        {digest: row for row, digest in enumerate(sorted(files))},
        {int(row): str(reasons[row]) for row in np.flatnonzero(reasons != "")},
        bit_depth=bit_depth,
        **record,
    )
