"""Checks a folder of Fashion-MNIST's IDX files and restores the published bytes."""

import contextlib
import hashlib
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from ganad_tf.data.fashion_mnist.idx import is_gzip, parse_idx, read_plain
from ganad_tf.errors import DataError

# The published names, and the time stamps in the headers of the published .gz files.
_TIMES = {
    "train-images-idx3-ubyte": 1504176606,
    "train-labels-idx1-ubyte": 1504176606,
    "t10k-images-idx3-ubyte": 1504176627,
    "t10k-labels-idx1-ubyte": 1504176627,
}
_NAMELESS_HEADER = 10  # bytes of a .gz header without a file name (RFC 1952)


@contextlib.contextmanager
def official_files(folder: Path, checksums: Mapping[str, str]) -> Iterator[Path]:
    """Yields a temporary folder with the four .gz files exactly as they were published.

    Args:
        folder: a folder with the four IDX files under their published names, each .gz or not.
        checksums: name of each published file -> its sha256, as hexadecimal digits.

    Raises:
        DataError: if a file is missing, damaged or from another data set, or if the numbers of
            images and labels differ.
    """
    paths = _find(folder)
    contents = {name: read_plain(path) for name, path in paths.items()}
    for part in ("train", "t10k"):
        _check_part(part, paths, contents)
    with tempfile.TemporaryDirectory() as scratch:
        for name, path in paths.items():
            restored = _restore(name, path, contents[name], checksums[f"{name}.gz"])
            (Path(scratch) / f"{name}.gz").write_bytes(restored)
        yield Path(scratch)


def _find(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of IDX files. Received: no such folder")
    paths = {}
    for name in _TIMES:
        candidates = (folder / f"{name}.gz", folder / name)
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            held = ", ".join(sorted(path.name for path in folder.iterdir())[:8])
            raise DataError(
                f"{folder}: expected {name}.gz or {name}. Received: {held or 'an empty folder'}"
            )
        paths[name] = path
    return paths


def _check_part(part: str, paths: Mapping[str, Path], contents: Mapping[str, bytes]) -> None:
    counts = []
    for name, dimensions in ((f"{part}-images-idx3-ubyte", 3), (f"{part}-labels-idx1-ubyte", 1)):
        shape = parse_idx(contents[name], paths[name]).shape
        if len(shape) != dimensions:
            raise DataError(
                f"{paths[name]}: expected {dimensions} dimensions. Received: {list(shape)}"
            )
        counts.append(shape[0])
    if counts[0] != counts[1]:
        raise DataError(
            f"{paths[name]}: expected {counts[0]} labels, one per {part} image. "
            f"Received: {counts[1]}"
        )


def _restore(name: str, path: Path, content: bytes, checksum: str) -> bytes:
    """Rebuilds the published .gz file, because the checksums are of that file.

    Debian's files hold the published compressed stream after another header. Files that are stored
    uncompressed, or were compressed by another program, are compressed again with gzip, which gives
    the published stream.
    """
    header = b"\x1f\x8b\x08\x08" + struct.pack("<I", _TIMES[name]) + b"\0\x03"
    header += name.encode() + b"\0"
    for stream in _compressed_streams(name, path, content):
        restored = header + stream
        if hashlib.sha256(restored).hexdigest() == checksum:
            return restored
    raise DataError(
        f"{path}: expected Fashion-MNIST's {name}, whose published .gz has sha256 {checksum}. "
        f"Received: {len(content)} bytes of other content, or no gzip program to compress them"
    )


def _compressed_streams(name: str, path: Path, content: bytes) -> Iterator[bytes]:
    """Candidates for the published compressed stream, the most likely first."""
    stored = path.read_bytes()
    if is_gzip(stored):
        yield stored[_NAMELESS_HEADER:]
        yield stored[_NAMELESS_HEADER + len(name) + 1 :]
    if shutil.which("gzip"):
        command = ["gzip", "--no-name", "--stdout"]
        compressed = subprocess.run(command, input=content, capture_output=True, check=True).stdout
        yield compressed[_NAMELESS_HEADER:]
