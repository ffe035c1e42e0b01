"""Folders of new images, read as scoring reads them and measured by a model or a run."""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from ganad_tf.calibration.map_peaks import MapPeaks
from ganad_tf.calibration.map_scale import MapScale
from ganad_tf.data.image_statistics import FILE_STATISTICS, measure_file, measure_pixels
from ganad_tf.data.images import pixel_digest
from ganad_tf.errors import DataError

from .runtime import available_cores, check_pillow, describe, find_images, open_image, prepare

# Read at once. In each call, a model's own runtime spreads them over the cores.
BATCH = 256
# Of files that cannot be read, an error names so many.
MAX_NAMED = 3


class Measuring(Protocol):
    """What images are measured by: a model or a run."""

    image_shape: tuple[int, int, int]
    resize: str
    bit_depth: int
    max_pixels: int

    def score(self, images: np.ndarray) -> np.ndarray:
        """Scores of uint8 [N, h, w, C], float32 [N], the same as in later use."""

    def maps(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Kind of map -> float32 [N, h, w], before it is scaled, with at least the joined ones."""

    def peaks(self) -> MapPeaks:
        """What gathers these maps, empty: it knows which kinds are scaled, and which are joined."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """Measurements of the images of a folder, without copies of one another.

    Args:
        digests: of the pixels -> the file, [N], in the order of the files.
        copies: how many more files have the pixels of one of these.
        scores: float32 [N].
        statistics: name -> float64 [N], see `ganad_tf.data.image_statistics`; empty where scores
            of other images are among `scores`.
        map_scales: kind of map -> its scale; empty without maps, or if maps keep their scale.
        sample: a few of the images, uint8 [n, h, w, C].
        peaks: the largest value of each image's scaled anomaly map, float32 [N]; empty without
            maps.
    """

    digests: dict[bytes, str]
    copies: int
    scores: np.ndarray
    statistics: dict[str, np.ndarray]
    map_scales: dict[str, MapScale]
    sample: np.ndarray
    peaks: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, np.float32))


def find_folder(folder: str, name: str) -> list[str]:
    """The image files of a folder, at any depth, sorted.

    Args:
        folder: its name.
        name: of the argument, for errors.

    Raises:
        DataError: if it is no folder, cannot be read or holds no image.
    """
    if not os.path.isdir(folder):
        received = "a file" if os.path.exists(folder) else "no such folder"
        raise DataError(f"{name} must be a folder of images. Received: {folder}, {received}")
    problems: list[dict[str, Any]] = []
    paths = sorted(path for path, _ in find_images([folder], problems))
    if problems:
        raise DataError(f"{name}: {problems[0]['path']}: {problems[0]['error']}")
    return paths


def check_apart(normals: Sequence[str], anomalies: Sequence[str]) -> None:
    """Checks that no file is both normal and anomalous.

    Raises:
        DataError: if one is, as where one folder lies within the other.
    """
    both = {os.path.realpath(path) for path in normals} & set(map(os.path.realpath, anomalies))
    if both:
        raise _shared("files in both", min(both), len(both))


def check_different(normals: dict[bytes, str], anomalies: dict[bytes, str]) -> None:
    """Checks that no image is both normal and anomalous, under whatever name.

    Args:
        normals, anomalies: digests of the pixels -> the file.

    Raises:
        DataError: if one is.
    """
    both = sorted(
        f"{path} and {anomalies[digest]}" for digest, path in normals.items() if digest in anomalies
    )
    if both:
        raise _shared("pairs of equal pixels", both[0], len(both))


def _shared(what: str, example: str, count: int) -> DataError:
    return DataError(
        "anomalies must share no image with normal images, in NORMALS, --anomalies and "
        f"--corrections; folders are read at any depth. Received: {count:,} {what}, such as "
        f"{example}"
    )


def measure(
    measuring: Measuring,
    paths: Sequence[str],
    with_maps: bool,
    on_progress: Callable[[int], None],
) -> Measured:
    """Scores and measures image files. Of images with equal pixels the first one counts.

    Copies would make a promise look better founded than it is.

    Args:
        measuring: the model or run.
        paths: at least one.
        with_maps: whether map scales and peaks are needed, too.
        on_progress: is called with how many more images are done.

    Raises:
        DataError: if a file cannot be read, or a score is not finite.
    """
    check_pillow()
    scores, rows = [], []
    digests: dict[bytes, str] = {}
    peaks = measuring.peaks()
    sample = np.empty((0, *measuring.image_shape), np.uint8)
    done = 0
    for images, files in _read_batches(measuring, paths):
        names = paths[done : done + len(images)]
        done += len(images)
        on_progress(len(images))
        new = [_is_new(digests, image, name) for image, name in zip(images, names, strict=True)]
        if not any(new):
            continue
        images, files = images[new], files[new]
        sample = images[:16] if not len(sample) else sample
        scores.append(measuring.score(images))
        found = measure_pixels(images)
        found.update(zip(FILE_STATISTICS, files.T, strict=True))
        rows.append(found)
        if with_maps:
            peaks.add(measuring.maps(images))
    joined = np.concatenate(scores)
    if not np.isfinite(joined).all():
        wrong = list(digests.values())[int(np.argmin(np.isfinite(joined)))]
        raise DataError(f"{wrong}: expected a finite score. Received: NaN or infinity")
    statistics = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    copies = len(paths) - len(digests)
    of_maps = peaks.finish() if with_maps else ({}, np.empty(0, np.float32))
    return Measured(digests, copies, joined, statistics, of_maps[0], sample, of_maps[1])


def with_stored_scores(measured: Measured | None, scores: np.ndarray) -> Measured:
    """Measurements with the scores of other images before them, of which nothing else is known.

    Args:
        measured: new images; None without any.
        scores: of the others.
    """
    known = scores.astype(np.float32)
    if measured is None:
        return Measured({}, 0, known, {}, {}, np.empty((0, 1, 1, 1), np.uint8))
    joined = np.concatenate([known, measured.scores])
    return dataclasses.replace(
        measured, scores=joined, statistics={}, map_scales={}, peaks=measured.peaks[:0]
    )


def read_images(measuring: Measuring, paths: Sequence[str]) -> tuple[np.ndarray, dict[bytes, str]]:
    """The pixels of image files, each once.

    Args:
        measuring: says how they are read.
        paths: at least one.

    Returns:
        uint8 [n, h, w, C], and the digest of each -> its file, in the same order.

    Raises:
        DataError: if a file cannot be read.
    """
    check_pillow()
    digests: dict[bytes, str] = {}
    kept, done = [], 0
    for images, _ in _read_batches(measuring, paths):
        names = paths[done : done + len(images)]
        done += len(images)
        kept += [i for i, name in zip(images, names, strict=True) if _is_new(digests, i, name)]
    return np.stack(kept), digests


def _is_new(digests: dict[bytes, str], image: np.ndarray, path: str) -> bool:
    """Whether no image before had these pixels; notes them."""
    return digests.setdefault(pixel_digest(image), path) is path


def _read_batches(
    measuring: Measuring, paths: Sequence[str]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields images, uint8 [n, h, w, C], and the statistics of their files, float64 [n, 3].

    Raises:
        DataError: after the last image, if some cannot be read. It names the first ones.
    """
    failures = []
    read = functools.partial(read_image, measuring)
    with ThreadPoolExecutor(available_cores()) as pool:
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            results = list(pool.map(read, batch))
            failures += [
                f"{path} ({result})"
                for path, result in zip(batch, results, strict=True)
                if isinstance(result, str)
            ]
            if not failures:  # with some, nothing will come of it
                yield (
                    np.stack([result[0] for result in results]),
                    np.array([result[1] for result in results], np.float64),
                )
    if failures:
        more = ", ..." if len(failures) > MAX_NAMED else ""
        raise DataError(
            "expected images that can be read; remove the others, so that none is left out "
            f"unnoticed. Received: {len(failures):,} of {len(paths):,} that cannot be read: "
            f"{', '.join(failures[:MAX_NAMED])}{more}"
        )


def read_image(
    measuring: Measuring, path: str
) -> tuple[np.ndarray, tuple[float, float, float]] | str:
    """The image and the statistics of its file, or what is wrong with it."""
    try:
        with open_image(path, measuring.max_pixels) as image:
            pixels = prepare(
                image,
                measuring.image_shape,
                measuring.resize,
                measuring.bit_depth,
                measuring.max_pixels,
            )
            return pixels, measure_file(image)
    except Exception as error:  # Pillow's readers raise anything on damaged files
        return describe(error)
