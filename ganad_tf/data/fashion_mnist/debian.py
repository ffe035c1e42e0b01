"""Gets the files of a Debian or Ubuntu package, without root rights or installation."""

import logging
import os
import shutil
import subprocess
from pathlib import Path

from ganad_tf.errors import DataError

_LOGGER = logging.getLogger(__name__)

# Time limits, so that a mirror that does not answer leads to an error.
_NETWORK: tuple[str, ...] = ("-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=10")
_NETWORK += ("-o", "Acquire::https::Timeout=10", "-o", "Acquire::Languages=none")
_SECONDS = 180


def unpack_package(package: str, folder: Path) -> Path:
    """Downloads a package from the mirrors that apt knows and unpacks it.

    If apt's package lists do not have the package, as in most containers, new lists are downloaded
    into `folder`. The lists of the system are not changed, since that needs root rights.

    Args:
        package: the name of the package.
        folder: an existing, empty folder to work in.

    Returns:
        The folder with the unpacked files, which stands for the root of the file system.

    Raises:
        DataError: if apt is not installed, no mirror answers, or no mirror has the package.
    """
    for command in ("apt-get", "dpkg-deb"):
        if not shutil.which(command):
            raise DataError(f"apt: expected the command {command}. Received: none")
    _LOGGER.info("Downloading the package %s with apt-get", package)
    try:
        _run("apt-get", *_NETWORK, "download", package, folder=folder)
    except DataError:
        for incomplete in folder.glob("*.deb"):
            incomplete.unlink()
        private = (*_NETWORK, *_private_lists(folder))
        # The update fails as a whole if one source is broken. Only the download matters.
        _run("apt-get", *private, "update", folder=folder, check=False)
        _run("apt-get", *private, "download", package, folder=folder)
    (archive,) = folder.glob("*.deb")
    _run("dpkg-deb", "-x", archive.name, "root", folder=folder)
    return folder / "root"


def _private_lists(folder: Path) -> tuple[str, ...]:
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    settings = {
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        # Run by root, apt would switch to a user that may not write into this folder.
        "APT::Sandbox::User": "root",
    }
    return tuple(part for key, value in settings.items() for part in ("-o", f"{key}={value}"))


def _run(*command: str, folder: Path, check: bool = True) -> None:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        subprocess.run(
            command,
            cwd=folder,
            env=environment,
            check=check,
            timeout=_SECONDS,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise DataError(
            f"{command[0]}: expected an answer in {_SECONDS} s. Received: none"
        ) from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"exit code {error.returncode}"]
        raise DataError(f"{command[0]}: expected success. Received: {lines[-1]}") from None
