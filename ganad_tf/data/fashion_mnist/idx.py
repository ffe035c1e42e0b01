"""Reads IDX, the file format of MNIST and similar data sets, plain or as .gz."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from ganad_tf.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"
_UINT8 = 0x08


def read_plain(path: Path) -> bytes:
    """Reads a file, and decompresses it if it is a .gz.

    Raises:
        DataError: if the file is missing, cannot be read, or is a damaged .gz.
    """
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: expected an IDX file. Received: {error.strerror}") from None
    if not is_gzip(stored):
        return stored
    try:
        return gzip.decompress(stored)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"{path}: expected a whole .gz file. "
            f"Received: {len(stored)} bytes that do not decompress ({error})"
        ) from None


def is_gzip(stored: bytes) -> bool:
    """Whether the bytes begin like a .gz file."""
    return stored[:2] == _GZIP_MAGIC


def parse_idx(data: bytes, name: str | Path) -> np.ndarray:
    """Parses the bytes of an uncompressed IDX file.

    Args:
        data: the content of the file: two zeros, the code of the type, the number of dimensions,
            the size of each dimension in 4 bytes (most significant first), then the values.
        name: the name of the file, for errors.

    Raises:
        DataError: if `data` is not a complete IDX file of bytes.
    """
    dimensions = data[3] if len(data) > 3 else 0
    header = 4 + 4 * dimensions
    if data[:3] != bytes([0, 0, _UINT8]) or not dimensions or len(data) < header:
        raise DataError(
            f"{name}: expected an IDX file of bytes, which begins 00 00 08. "
            f"Received: {len(data)} bytes that begin {data[:4].hex(' ') or 'nowhere'}"
        )
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", dimensions, offset=4))
    if len(data) - header != math.prod(shape):
        raise DataError(
            f"{name}: expected {math.prod(shape)} values, as its header says {list(shape)}. "
            f"Received: {len(data) - header}"
        )
    try:
        return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
    except ValueError:  # no values, but too many or too large dimensions
        raise DataError(f"{name}: expected a possible shape. Received: {list(shape)}") from None
