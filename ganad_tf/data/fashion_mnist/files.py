"""Checks a folder of Fashion-MNIST's IDX files and restores them to the bytes first published."""

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

# The published names, and the times that the published .gz files carry in their headers.
_TIMES = {
    "train-images-idx3-ubyte": 1504176606,
    "train-labels-idx1-ubyte": 1504176606,
    "t10k-images-idx3-ubyte": 1504176627,
    "t10k-labels-idx1-ubyte": 1504176627,
}
_NAMELESS_HEADER = 10  # bytes


@contextlib.contextmanager
def official_files(folder: Path, checksums: Mapping[str, str]) -> Iterator[Path]:
    """Yields a temporary folder with the four .gz files just as they were published.

    Args:
        folder: holds the four IDX files under their published names, each .gz or not.
        checksums: sha256 of each published file, as hexadecimal digits, by its name.

    Raises:
        DataError: if a file is missing, damaged or another data set's, or if images and labels
            are not equally many.
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
    """Rebuilds the published .gz, since that is what the checksums are of.

    Debian's files hold the published compressed stream behind another header; what is stored
    plain, or was compressed by another program, is compressed anew by gzip, as it first was.
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
    """Candidates for the published stream, likeliest first."""
    stored = path.read_bytes()
    if is_gzip(stored):
        yield stored[_NAMELESS_HEADER:]
        yield stored[_NAMELESS_HEADER + len(name) + 1 :]
    if shutil.which("gzip"):
        command = ["gzip", "--no-name", "--stdout"]
        compressed = subprocess.run(command, input=content, capture_output=True, check=True).stdout
        yield compressed[_NAMELESS_HEADER:]
