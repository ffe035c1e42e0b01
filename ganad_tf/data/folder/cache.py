"""Decoded images, kept on disk: every file is decoded once, whatever is done with it later."""

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

import numpy as np
import PIL
from tqdm import tqdm

from ganad_tf.atomic_files import replace_dir
from ganad_tf.data.folder.decoding import describe, open_image, prepare

_LOGGER = logging.getLogger(__name__)

# Raise it when decoding changes: what earlier versions kept is then not found.
_VERSION = 1
_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """Images of one size, one for each different file content.

    Args:
        images: uint8 [M, S, S, C], a memory map; zeros where a file could not be decoded.
        rows: sha256 of a file's content -> its row.
        reasons: why a row could not be decoded, by its number.
        looks: str [M], equal where the pixels are equal, as for one picture in two formats.
        is_grey: bool [M], whether red, green and blue are equal.
    """

    images: np.ndarray
    rows: Mapping[str, int]
    reasons: Mapping[int, str]
    looks: np.ndarray
    is_grey: np.ndarray


class _Coloured(Exception):
    """A coloured image among what were all grey ones."""


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/ganad_tf`, by default below ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ganad_tf"


def digest_files(root: Path, paths: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Reads all files once.

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
    fit: str = "stretch",
) -> DecodedImages:
    """Decodes files, or finds them decoded.

    What is kept depends on the files' contents, not on their names, places and labels.

    Args:
        files: sha256 of the content -> a file that holds it; at least one.
        image_size: S.
        channels: 1 (grey) or 3 (RGB); by default 1 if all images are grey, else 3.
        cache_dir: where to keep them (default: `default_cache()`).
        fit: how other shapes come to the square; see `prepare`.
    """
    folder = (cache_dir or default_cache()) / _key(files, image_size, channels, fit)
    kept = _load(folder, files)
    if kept is None:
        with replace_dir(folder) as temporary:
            if channels is None:
                try:
                    _decode(temporary, files, image_size, 1, fit, all_grey=True)
                except _Coloured:
                    _decode(temporary, files, image_size, 3, fit)
            else:
                _decode(temporary, files, image_size, channels, fit)
        kept = _load(folder, files)
        _LOGGER.info("%d decoded images are kept in %s", len(files), folder)
    return kept


def in_threads(work: Callable, items: Iterable, title: str) -> Iterator:
    """Maps in order on all cores, with progress on a terminal, a few results ahead at most."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    items = list(items)
    rest = iter(items)
    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(items), desc=title, unit=" files", disable=None, delay=1) as progress,
    ):
        while chunk := list(itertools.islice(rest, 16 * workers)):
            for result in pool.map(work, chunk):
                yield result
                progress.update()


def _key(files: Mapping[str, Path], image_size: int, channels: int | None, fit: str) -> str:
    settings = f"{_VERSION} {PIL.__version__} {image_size} {channels} {fit}"
    return hashlib.sha256(" ".join([settings, *sorted(files)]).encode()).hexdigest()[:32]


def _decode(
    folder: Path,
    files: Mapping[str, Path],
    size: int,
    channels: int,
    fit: str,
    all_grey: bool = False,
) -> None:
    """Writes images.npy and record.npz.

    Raises:
        _Coloured: if all images should be grey and one is not.
    """
    shape = (size, size, channels)

    def decode(path: Path) -> tuple[np.ndarray | None, bool, str]:
        try:
            with open_image(path) as image:
                grey = image.mode in _GREY_MODES
                pixels = prepare(image, shape, fit)
                if not grey:
                    colours = pixels if channels == 3 else prepare(image, (size, size, 3), fit)
                    grey = bool((colours == colours[..., :1]).all())
                return pixels, grey, ""
        except MemoryError:
            raise
        except Exception as error:  # Pillow's readers raise dozens of types on damaged files
            # A failing disk is not the file's fault; its damage must not be kept. Damaged files
            # make Pillow seek to where no file reaches.
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise
            return None, True, describe(error)

    looks, is_grey, reasons = [], [], []
    digests = sorted(files)
    with open(folder / "images.npy", "wb") as file:
        # Written as a stream: a full disk under a memory map would kill the process.
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(files), *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        paths = [files[digest] for digest in digests]
        for pixels, grey, reason in in_threads(decode, paths, "decoding"):
            if all_grey and not grey:
                raise _Coloured
            stored = np.zeros(shape, np.uint8) if pixels is None else np.ascontiguousarray(pixels)
            file.write(stored.data)
            looks.append("" if pixels is None else hashlib.sha256(stored).hexdigest()[:32])
            is_grey.append(grey)
            reasons.append(reason)
    np.savez(folder / "record.npz", looks=looks, is_grey=is_grey, reasons=reasons)


def _load(folder: Path, files: Mapping[str, Path]) -> DecodedImages | None:
    """What is kept in `folder`, or None if nothing or something damaged is."""
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        with np.load(folder / "record.npz", allow_pickle=False) as record:
            looks, is_grey, reasons = (record[name] for name in ("looks", "is_grey", "reasons"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if not len(images) == len(looks) == len(is_grey) == len(reasons) == len(files):
        return None
    return DecodedImages(
        images,
        {digest: row for row, digest in enumerate(sorted(files))},
        {int(row): str(reasons[row]) for row in np.flatnonzero(reasons != "")},
        looks,
        is_grey,
    )
