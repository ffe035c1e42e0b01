"""Fashion-MNIST through TensorFlow Datasets, also where its home site cannot be reached.

Xiao, Rasul and Vollgraf, *Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms*, 2017.
"""

import contextlib
import hashlib
import http.client
import io
import logging
import re
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from ganad_tf.data.fashion_mnist.debian import unpack_package
from ganad_tf.data.fashion_mnist.files import official_files
from ganad_tf.data.images import LabelledImages
from ganad_tf.errors import DataError

_LOGGER = logging.getLogger(__name__)

DEBIAN_PACKAGE = "dataset-fashion-mnist"
SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")

# sha256 of the pixels and labels in official order; see `LabelledImages.digest`.
_DIGESTS = {
    "train": "debaf8fa8041be7a81f2e270a5569bcf3ca32745e67851440ac1c8098e365bf5",
    "test": "31f656d43529baa045916ac6ce5e3b374968b3185ea991af67108481546e51da",
}

_PROBE_SECONDS = 5


def load_fashion_mnist(
    data_dir: Path | None = None, idx_dir: Path | None = None
) -> tuple[LabelledImages, LabelledImages]:
    """Loads Fashion-MNIST from the first source that has it.

    In this order: what TFDS has prepared; a folder of IDX files, named or the system's; TFDS's own
    download; Debian's package. Whatever the source, TFDS's builder prepares it and TFDS's
    registered checksums vouch for it.

    Args:
        data_dir: where TFDS keeps prepared data; by default its own choice (`TFDS_DATA_DIR` or
            ~/tensorflow_datasets).
        idx_dir: a folder with the four official IDX files, each .gz or not. When named, it must
            be whole and official, even where the prepared data makes it unnecessary.

    Returns:
        The training and the test set: uint8 [60000, 28, 28, 1] and [10000, 28, 28, 1] in the
        official order, no class normal yet.

    Raises:
        DataError: if a named folder or the prepared data is damaged, or no source can be reached.
    """
    builder = _builder(data_dir)
    with contextlib.ExitStack() as stack:
        official = None
        if idx_dir is not None:
            official = stack.enter_context(official_files(idx_dir, _checksums(builder)))
        if builder.data_path.exists():
            _LOGGER.info("Fashion-MNIST: prepared by TFDS in %s", builder.data_path)
        elif official:
            _prepare(builder, official, f"the IDX files in {idx_dir}")
        else:
            _prepare_from_anywhere(builder)
    return _read(builder, "train"), _read(builder, "test")


def _builder(data_dir: Path | None) -> tfds.core.DatasetBuilder:
    tfds.disable_progress_bar()
    try:
        return tfds.builder("fashion_mnist", data_dir=data_dir)
    except Exception as error:  # a damaged folder makes TFDS raise errors of many libraries
        raise DataError(
            f"{data_dir or 'The default folder of TFDS'}: expected a folder that TFDS can use. "
            f"Received: {error}"
        ) from error


def _prepare_from_anywhere(builder: tfds.core.DatasetBuilder) -> None:
    """Tries every source that nobody needs to name."""
    failures = []
    for find in (_in_system_folder, _on_site, _in_debian_package):
        with contextlib.ExitStack() as stack:
            official = None
            try:
                official, source = stack.enter_context(find(builder))
                return _prepare(builder, official, source)
            except DataError as error:
                if official:  # good files: the fault is at this end, a full disk for one
                    raise
                failures.append(str(error))
    raise DataError(
        "Fashion-MNIST is not here and no source can be reached. Any one of these helps:\n"
        f"  - install the package {DEBIAN_PACKAGE} (Debian, Ubuntu)\n"
        "  - name a folder that holds its four IDX files (--idx-dir)\n"
        f"  - name a folder in which TFDS has prepared it (--data-dir), now {builder.data_path}\n"
        f"  - allow access to {_site(builder)}\n"
        f"  - allow apt-get to reach a mirror that has {DEBIAN_PACKAGE}\n"
        f"Received: {'; '.join(failures)}"
    )


@contextlib.contextmanager
def _in_system_folder(builder: tfds.core.DatasetBuilder) -> Iterator[tuple[Path, str]]:
    with official_files(SYSTEM_FOLDER, _checksums(builder)) as official:
        yield official, f"the IDX files in {SYSTEM_FOLDER}"


@contextlib.contextmanager
def _on_site(builder: tfds.core.DatasetBuilder) -> Iterator[tuple[None, str]]:
    """Leaves the download to TFDS, but only from a site that has just proved to answer.

    TFDS waits without limit for a site that a firewall swallows.
    """
    url, expected = min(builder.url_infos.items(), key=lambda item: item[1].size)
    try:
        with urllib.request.urlopen(url, timeout=_PROBE_SECONDS) as response:
            received = len(response.read())
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{url}: expected an answer. Received: {error}") from None
    if received != expected.size:
        raise DataError(f"{url}: expected {expected.size} bytes. Received: {received}")
    yield None, _site(builder)


@contextlib.contextmanager
def _in_debian_package(builder: tfds.core.DatasetBuilder) -> Iterator[tuple[Path, str]]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = unpack_package(DEBIAN_PACKAGE, Path(scratch)) / SYSTEM_FOLDER.relative_to("/")
        with official_files(folder, _checksums(builder)) as official:
            yield official, f"the package {DEBIAN_PACKAGE}"


def _site(builder: tfds.core.DatasetBuilder) -> str:
    return next(iter(builder.url_infos)).rpartition("/")[0]


def _checksums(builder: tfds.core.DatasetBuilder) -> dict[str, str]:
    """What TFDS has registered: sha256 of each published file, by its name."""
    return {info.filename: info.checksum for info in builder.url_infos.values()}


def _prepare(builder: tfds.core.DatasetBuilder, official: Path | None, source: str) -> None:
    """Runs TFDS's builder on the official files, or on what it downloads itself."""
    _LOGGER.info(
        "Fashion-MNIST: preparing %s with TFDS in %s (once, half a minute)",
        source,
        builder.data_path,
    )
    with tempfile.TemporaryDirectory() as scratch:
        config = tfds.download.DownloadConfig(
            manual_dir=official,
            extract_dir=scratch,
            # Looking for Google's copy can hang for minutes on a closed network.
            try_download_gcs=False,
        )
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                builder.download_and_prepare(
                    download_dir=scratch if official else None, download_config=config
                )
        except Exception as error:  # TFDS raises errors of many libraries
            # Another process may have prepared the same folder in the meantime.
            if not builder.data_path.exists():
                raise DataError(
                    f"{builder.data_path}: expected TFDS to prepare Fashion-MNIST from {source}. "
                    f"Received: {error}"
                ) from error


def _read(builder: tfds.core.DatasetBuilder, split: str) -> LabelledImages:
    try:
        stored = tfds.as_numpy(
            builder.as_dataset(
                split=split,
                batch_size=-1,
                # One file after the other, as they were written.
                read_config=tfds.ReadConfig(interleave_cycle_length=1),
            )
        )
    except Exception as error:  # TFDS raises errors of many libraries
        raise _damaged(builder, str(error)) from error
    order = _published_order(split, len(stored["label"]))
    loaded = LabelledImages(
        images=stored["image"][order],
        kinds=stored["label"][order].astype(np.int64),
        kind_names=tuple(builder.info.features["label"].names),
    )
    if loaded.digest() != _DIGESTS[split]:
        raise _damaged(builder, f"other images in {split}")
    return loaded


def _published_order(split: str, count: int) -> np.ndarray:
    """Where TFDS keeps each example, in the order in which the authors published them.

    TFDS sorts a split by the md5 of its name and the example's number. Reports and other tools
    number images as published.
    """
    digests = [hashlib.md5(f"{split}{number}".encode()).digest() for number in range(count)]
    return np.argsort(np.argsort(np.array(digests, "S16")))


def _damaged(builder: tfds.core.DatasetBuilder, received: str) -> DataError:
    without_graph_names = re.sub(r"\{\{.*?\}\} | \[Op:.*", "", received)
    return DataError(
        f"{builder.data_path}: expected Fashion-MNIST as TFDS prepares it; remove the folder to "
        f"have it prepared again. Received: {without_graph_names}"
    )
