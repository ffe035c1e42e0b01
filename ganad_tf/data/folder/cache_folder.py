"""Where decoded images are kept, and one writer at a time."""

import fcntl
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from ganad_tf.errors import DataError

# The environment variable that names another folder.
OVERRIDE = "GANAD_CACHE_DIR"

_LOGGER = logging.getLogger(__name__)


def default_cache() -> Path:
    """`$GANAD_CACHE_DIR`, or the system's folder for caches, on Linux `~/.cache/ganad_tf`.

    Without a home, as in a container under a bare user id, it is a folder for temporary files.

    Raises:
        DataError: if `$GANAD_CACHE_DIR` cannot be written, or there is no other folder.
    """
    chosen = os.environ.get(OVERRIDE)
    if chosen:
        return _checked(Path(chosen))
    try:
        usual = _usual_cache()
        _make(usual)
        return usual
    except RuntimeError as error:
        reason = str(error)
    except OSError as error:
        reason = f"{usual} cannot be written ({error.strerror or error})"
    folder = _checked(Path(tempfile.gettempdir(), f"ganad_tf-{os.getuid()}"))
    if folder.stat().st_uid != os.getuid():
        raise DataError(
            f"{folder}: expected a folder of your own for decoded images; {OVERRIDE} names "
            "another one. Received: another user's folder"
        )
    _LOGGER.warning(
        "decoded images go to %s (%s names another folder), since %s", folder, OVERRIDE, reason
    )
    return folder


def _usual_cache() -> Path:
    """The system's folder for caches.

    Raises:
        RuntimeError: if there is no home.
    """
    usual = Path(platformdirs.user_cache_dir("ganad_tf"))
    if not usual.is_absolute():  # such as `~/.cache`, of platformdirs 4.0
        raise RuntimeError(f"there is no home for {usual}")
    return usual


def _checked(folder: Path) -> Path:
    """Makes a folder as `_make` does, and returns it.

    Raises:
        DataError: if it cannot be made or written.
    """
    try:
        _make(folder)
    except OSError as error:
        raise cache_error(folder, error) from None
    return folder


def _make(folder: Path) -> None:
    """Makes a folder that only its owner can read, unless it is there.

    Raises:
        OSError: if it cannot be made or written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, "Permission denied")


def cache_error(folder: Path, error: OSError) -> DataError:
    """The error for a cache that cannot be written."""
    return DataError(
        f"{folder}: expected a folder for decoded images that can be written; the environment "
        f"variable {OVERRIDE} names another one. Received: {error.strerror or error}"
    )


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Waits until no other process writes `folder`, and keeps others waiting.

    The lock is the operating system's own, so it ends with the process. File systems without locks
    let everybody in.

    Args:
        folder: to be written; need not exist.
    """
    path = folder.with_name(f".{folder.name}.lock")
    folder.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with open(path, "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:
                yield
                return
            # The last owner may have removed the file between our opening and locking it.
            if not (path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())):
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
