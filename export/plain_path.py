"""Paths that TensorFlow can read and write: it takes [ ] * ? and \\ in a path for a pattern."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATTERN_CHARACTERS = frozenset("[]*?\\")


def is_plain(path: str | os.PathLike[str]) -> bool:
    """Whether TensorFlow takes the path literally."""
    return not PATTERN_CHARACTERS & set(os.fspath(path))


@contextmanager
def plain_path(folder: Path) -> Iterator[Path]:
    """Yields a path to an existing folder that has no pattern characters.

    It is the folder itself where its own path is plain. Otherwise it is a symbolic link in a
    temporary folder; what is written through it is written to the folder.

    Raises:
        OSError: if the system lets nobody make symbolic links.
    """
    absolute = Path(os.path.abspath(folder))
    if is_plain(absolute):
        yield folder
        return
    directory = _temporary_folder()
    try:
        link = directory / "folder"
        link.symlink_to(absolute, target_is_directory=True)
        yield link
    finally:
        # Removes the link only; rmtree does not follow it.
        shutil.rmtree(directory, ignore_errors=True)


def _temporary_folder() -> Path:
    """A new folder under a plain path, also where TMPDIR itself is none."""
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp", os.path.expanduser("~")):
        if is_plain(parent) and os.path.isdir(parent) and os.access(parent, os.W_OK):
            return Path(tempfile.mkdtemp(dir=parent, prefix="ganad-"))
    raise OSError(f"expected a temporary folder without any of []*?\\. Received: {parent}")
