"""A cache of decoded images on disk, so that every file is decoded only once."""

import errno
import hashlib
import itertools
import logging
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL
from tqdm import tqdm

from ganad_tf.atomic_files import replace_dir
from ganad_tf.data.folder.decoding import describe, open_image, prepare
from ganad_tf.errors import DataError

_LOGGER = logging.getLogger(__name__)

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# Raise it when decoding or the stored record changes, so that older entries are not used.
_VERSION = 2
_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """Images of one size, one for each distinct file content.

    Args:
        images: uint8 [M, S, S, C], a memory map; zeros where a file could not be decoded.
        rows: sha256 of a file's content -> its row in `images`.
        reasons: row -> why its file could not be decoded.
        pixel_digests: str [M], equal for equal pixels, such as one image saved in two formats.
        is_grey: bool [M], whether red, green and blue are equal in every pixel.
    """

    images: np.ndarray
    rows: Mapping[str, int]
    reasons: Mapping[int, str]
    pixel_digests: np.ndarray
    is_grey: np.ndarray


class _ColourFoundError(Exception):
    """A coloured image was found while all images were decoded as grey."""


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/ganad_tf`, by default below ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ganad_tf"


def digest_files(root: Path, paths: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Computes the sha256 of files.

    Args:
        root: the data folder.
        paths: of the files, relative to it.

    Returns:
        path -> sha256 of the content, for files that can be read, and path -> reason for others.
    """

    def digest(path: str) -> tuple[str, str]:
        try:
            with open(root / path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest(), ""
        except OSError as error:
            return "", describe(error)

    results = dict(zip(paths, in_threads(digest, paths, "reading"), strict=True))
    return (
        {path: value for path, (value, _) in results.items() if value},
        {path: reason for path, (_, reason) in results.items() if reason},
    )


def decode_files(
    files: Mapping[str, Path],
    image_size: int,
    channels: int | None = None,
    cache_dir: Path | None = None,
    resize: str = "stretch",
) -> DecodedImages:
    """Decodes files, or takes the decoded images from the cache.

    The cache depends only on the contents of the files, not on their names, folders and labels.

    Args:
        files: sha256 of the content -> a file with that content; at least one.
        image_size: S.
        channels: 1 (grey) or 3 (RGB); by default 1 if all images are grey, else 3.
        cache_dir: folder of the cache (default: `default_cache()`).
        resize: how other shapes are brought to the square; see `prepare`.
    """
    folder = (cache_dir or default_cache()) / _key(files, image_size, channels, resize)
    kept = _load(folder, files)
    if kept is None:
        with replace_dir(folder) as temporary:
            if channels is None:
                try:
                    _decode(temporary, files, image_size, 1, resize, all_grey=True)
                except _ColourFoundError:
                    _decode(temporary, files, image_size, 3, resize)
            else:
                _decode(temporary, files, image_size, channels, resize)
        kept = _load(folder, files)
        if kept is None:
            raise DataError(f"{folder}: expected the images just decoded. Received: damaged files")
        _LOGGER.info("%d decoded images are kept in %s", len(files), folder)
    return kept


def in_threads(
    work: Callable[[_Item], _Result], items: Iterable[_Item], title: str
) -> Iterator[_Result]:
    """Applies `work` to items in parallel, on all cores, and yields the results in order.

    It shows progress on a terminal, and works at most 16 items per core ahead.
    """
    workers = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    todo = list(items)
    rest = iter(todo)
    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(todo), desc=title, unit=" files", disable=None, delay=1) as progress,
    ):
        while chunk := list(itertools.islice(rest, 16 * workers)):
            for result in pool.map(work, chunk):
                yield result
                progress.update()


def _key(files: Mapping[str, Path], image_size: int, channels: int | None, resize: str) -> str:
    settings = f"{_VERSION} {PIL.__version__} {image_size} {channels} {resize}"
    return hashlib.sha256(" ".join([settings, *sorted(files)]).encode()).hexdigest()[:32]


def _decode(
    folder: Path,
    files: Mapping[str, Path],
    size: int,
    channels: int,
    resize: str,
    all_grey: bool = False,
) -> None:
    """Writes images.npy and record.npz.

    Raises:
        _ColourFoundError: if `all_grey` and an image is coloured.
    """
    shape = (size, size, channels)

    def decode(path: Path) -> tuple[np.ndarray | None, bool, str]:
        try:
            with open_image(path) as image:
                grey = image.mode in _GREY_MODES
                pixels = prepare(image, shape, resize)
                if not grey:
                    colours = pixels if channels == 3 else prepare(image, (size, size, 3), resize)
                    grey = bool((colours == colours[..., :1]).all())
                return pixels, grey, ""
        except MemoryError:
            raise
        except Exception as error:  # Pillow's readers raise dozens of types on damaged files
            # An error of the disk says nothing about the file and must not be cached. EINVAL comes
            # from damaged files, in which Pillow seeks to impossible positions.
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise
            return None, True, describe(error)

    pixel_digests: list[str] = []
    is_grey: list[bool] = []
    reasons: list[str] = []
    digests = sorted(files)
    with open(folder / "images.npy", "wb") as file:
        # Written as a stream: if the disk is full, a memory map would kill the process.
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(files), *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        paths = [files[digest] for digest in digests]
        for pixels, grey, reason in in_threads(decode, paths, "decoding"):
            if all_grey and not grey:
                raise _ColourFoundError
            stored = np.zeros(shape, np.uint8) if pixels is None else np.ascontiguousarray(pixels)
            file.write(stored.data)
            pixel_digests.append(
                "" if pixels is None else hashlib.sha256(stored.data).hexdigest()[:32]
            )
            is_grey.append(grey)
            reasons.append(reason)
    np.savez(folder / "record.npz", pixel_digests=pixel_digests, is_grey=is_grey, reasons=reasons)


def _load(folder: Path, files: Mapping[str, Path]) -> DecodedImages | None:
    """The cached images in `folder`, or None if there are none or they are damaged."""
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        with np.load(folder / "record.npz", allow_pickle=False) as record:
            pixel_digests, is_grey, reasons = (
                record[name] for name in ("pixel_digests", "is_grey", "reasons")
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if not len(images) == len(pixel_digests) == len(is_grey) == len(reasons) == len(files):
        return None
    return DecodedImages(
        images,
        {digest: row for row, digest in enumerate(sorted(files))},
        {int(row): str(reasons[row]) for row in np.flatnonzero(reasons != "")},
        pixel_digests,
        is_grey,
    )
