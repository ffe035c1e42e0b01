"""Files that are either complete or absent: written under a temporary name, then renamed."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ganad_tf.errors import ArtefactError

_WRITING, _REPLACED = ".writing-", ".replaced-"


@contextmanager
def replace_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it to `path` if the block succeeds.

    The temporary name keeps the suffix, because Keras and matplotlib choose a format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=_WRITING, suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private to their owner; others must be able to read the result.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replace_dir(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary folder beside `path`; it takes `path`'s place if the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f"{_WRITING}{path.name}-"))
    temporary.chmod(0o755)
    try:
        yield temporary
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f"{_REPLACED}{path.name}-"))
            os.replace(path, old / path.name)
            os.replace(temporary, path)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_unfinished(name: str) -> bool:
    """Whether a file or folder of this name holds what a process is writing, or was when killed."""
    return name.startswith((_WRITING, _REPLACED))


def remove_unfinished(folder: Path, of: str = "") -> None:
    """Removes what killed processes were writing into a folder.

    Args:
        folder: into which no other process writes now; need not exist.
        of: only what was to become the folder of this name.
    """
    for name in os.listdir(folder) if folder.is_dir() else ():
        path = folder / name
        if not name.startswith((f"{_WRITING}{of}", f"{_REPLACED}{of}")):
            continue
        if path.is_dir() and not path.is_symlink():
            if name.startswith(_REPLACED):
                _put_back(path)
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _put_back(aside: Path) -> None:
    """Gives a folder its place again, if the one that was to replace it never took it."""
    for old in aside.iterdir():
        if not (aside.parent / old.name).exists():
            os.replace(old, aside.parent / old.name)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    with replace_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_json(path: str | os.PathLike) -> dict[str, Any]:
    """Reads a JSON file of names and values.

    Raises:
        ArtefactError: if the file is missing, is not JSON, or holds something else.
    """
    path = Path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtefactError(f"{path}: expected a JSON file. Received: no such file") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtefactError(f"{path}: expected a JSON file. Received: {error}") from None
    if not isinstance(values, dict):
        raise ArtefactError(f"{path}: expected a JSON object. Received: {type(values).__name__}")
    return values
