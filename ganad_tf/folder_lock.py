"""A folder that belongs to one process at a time."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ganad_tf.errors import UsageError

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Creates `folder` if needed, and keeps other processes out of it.

    The lock is the operating system's own, on a file that names its owner. The system releases it
    when the process ends, even if it is killed, so the lock of a dead process is taken over.

    Raises:
        UsageError: if `folder` is a file, or another process is at work there.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: expected a folder. Received: a file")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    with _open_locked(path) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.ctime()}\n")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _open_locked(path: Path) -> TextIO:
    while True:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115  closed by the caller
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            file.close()
            raise UsageError(
                f"{path.parent}: expected a folder that no other process writes to. "
                f"Received: one in use by {owner}"
            ) from None
        except OSError:
            return file  # some network file systems have no locks
        # The last owner may have removed the file between our opening and locking it.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
        file.close()
