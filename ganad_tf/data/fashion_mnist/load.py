"""Loads Fashion-MNIST through TensorFlow Datasets (TFDS), from several sources.

It also works if the site that publishes the data set cannot be reached.

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

    The sources, in this order: data that TFDS has already prepared; the folder `idx_dir`; the
    system's folder of IDX files; the download by TFDS; Debian's package. TFDS prepares the data
    from every source, and the files are checked against the checksums registered in TFDS.

    Args:
        data_dir: folder of prepared data (default: `TFDS_DATA_DIR` or ~/tensorflow_datasets, as
            TFDS decides).
        idx_dir: a folder with the four published IDX files, each compressed as .gz or not. If
            given, its files are checked even if prepared data makes them unnecessary.

    Returns:
        The training and the test set: uint8 [60000, 28, 28, 1] and [10000, 28, 28, 1] in the
        published order. No class is marked as normal.

    Raises:
        DataError: if a given folder or the prepared data is damaged, or no source can be reached.
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
    """Tries the sources that need no argument, one after the other."""
    failures = []
    for find in (_in_system_folder, _on_site, _in_debian_package):
        with contextlib.ExitStack() as stack:
            official = None
            try:
                official, source = stack.enter_context(find(builder))
                return _prepare(builder, official, source)
            except DataError as error:
                if official:  # the files are good, so the fault is local, such as a full disk
                    raise
                failures.append(str(error))
    raise DataError(
        "Fashion-MNIST is not prepared and no source can be reached. Any one of these helps:\n"
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
    """Checks that the site answers and leaves the download to TFDS.

    Without this check, TFDS waits without limit for a site that a firewall blocks.
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
    """Name of each published file -> its sha256, as registered in TFDS."""
    return {info.filename: info.checksum for info in builder.url_infos.values()}


def _prepare(builder: tfds.core.DatasetBuilder, official: Path | None, source: str) -> None:
    """Runs the builder of TFDS on the official files; if None, on files that it downloads."""
    _LOGGER.info(
        "Fashion-MNIST: preparing %s with TFDS in %s (once, half a minute)",
        source,
        builder.data_path,
    )
    with tempfile.TemporaryDirectory() as scratch:
        config = tfds.download.DownloadConfig(
            manual_dir=official,
            extract_dir=scratch,
            # The search for Google's copy can hang for minutes on a closed network.
            try_download_gcs=False,
        )
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                builder.download_and_prepare(
                    download_dir=scratch if official else None, download_config=config
                )
        except Exception as error:  # TFDS raises errors of many libraries
            # No error if another process has prepared the same folder in the meantime.
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
                # Read one file after the other, in the order in which they were written.
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
    """The position of each example in TFDS, in the order in which the authors published them.

    TFDS sorts a split by the md5 of its name and the number of the example. Reports and other tools
    number images in the published order.
    """
    digests = [hashlib.md5(f"{split}{number}".encode()).digest() for number in range(count)]
    return np.argsort(np.argsort(np.array(digests, "S16")))


def _damaged(builder: tfds.core.DatasetBuilder, received: str) -> DataError:
    without_graph_names = re.sub(r"\{\{.*?\}\} | \[Op:.*", "", received)
    return DataError(
        f"{builder.data_path}: expected Fashion-MNIST as TFDS prepares it; remove the folder, "
        f"and it is prepared again. Received: {without_graph_names}"
    )
