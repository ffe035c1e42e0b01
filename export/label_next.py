"""Names the images whose label would teach most: uncertain ones, unlike those that are labelled."""

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.special import expit

from .corrections import Corrections
from .new_images import BATCH, Measuring, read_image
from .runtime import available_cores

# More lines than a person labels at a time would hide the first ones.
COUNT = 10
# Images that are looked at, evenly spaced; more would only take longer.
MAX_IMAGES = 2000
SIDE = 16  # of thumbnails, which are what is compared


def describe_next(
    measuring: Measuring, corrections: Corrections, slope: float, intercept: float
) -> list[str]:
    """Lines for a person; none without images that have no label.

    Args:
        measuring: the model or run, as it is now.
        corrections: of which the lines without a label are chosen from.
        slope, intercept: of the probability now.
    """
    paths = corrections.unlabelled
    if len(paths) > MAX_IMAGES:
        chosen = np.linspace(0, len(paths) - 1, MAX_IMAGES).astype(int)
        paths = tuple(paths[index] for index in chosen)
    names, scores, thumbs = _measure(measuring, paths)
    if not names:
        return []
    _, _, labelled = _measure(measuring, (*corrections.normal, *corrections.anomaly))
    probabilities = expit(slope * scores.astype(np.float64) + intercept)
    picked = choose(probabilities, thumbs, labelled, COUNT)
    return [
        "label these next, whose labels would teach most (probability of an anomaly):",
        *(f"  {names[index]} ({probabilities[index]:.2f})" for index in picked),
    ]


def choose(
    probabilities: np.ndarray, features: np.ndarray, labelled: np.ndarray, count: int
) -> list[int]:
    """The images whose label would teach most, the first one first.

    Each is the one of the largest product of uncertainty, 1 - |2p - 1|, and of the distance to the
    nearest labelled or chosen image (uncertainty sampling: Lewis and Gale 1994; core sets: Sener
    and Savarese 2018). So near copies are not all named.

    Args:
        probabilities: [N].
        features: float [N, D].
        labelled: float [M, D], of images that have a label, M at least 1.
        count: at most so many.
    """
    uncertainty = 1 - np.abs(2 * probabilities - 1)
    distances = np.full(len(features), np.inf)
    for row in labelled:
        distances = np.minimum(distances, np.linalg.norm(features - row, axis=1))
    chosen: list[int] = []
    while len(chosen) < count:
        gains = uncertainty * distances
        best = int(np.argmax(gains))
        if gains[best] <= 0:
            break
        chosen.append(best)
        distances = np.minimum(distances, np.linalg.norm(features - features[best], axis=1))
    return chosen


def _measure(
    measuring: Measuring, paths: Sequence[str]
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, scores and thumbnails of the files that can be read; the others are passed over."""
    names: list[str] = []
    scores, thumbs = [np.empty(0, np.float32)], []
    read = functools.partial(read_image, measuring)
    with ThreadPoolExecutor(available_cores()) as pool:
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            results = list(zip(batch, pool.map(read, batch), strict=True))
            found = {name: result[0] for name, result in results if not isinstance(result, str)}
            if found:
                names += found
                images = np.stack(list(found.values()))
                scores.append(measuring.score(images))
                thumbs.append(_thumbnails(images))
    return names, np.concatenate(scores), np.concatenate([np.empty((0, SIDE**2)), *thumbs])


def _thumbnails(images: np.ndarray) -> np.ndarray:
    """Grey images of SIDE x SIDE pixels as rows, each pixel the nearest one."""
    _, height, width, _ = images.shape
    rows, columns = (np.linspace(0, size - 1, SIDE).round().astype(int) for size in (height, width))
    small = images[:, rows][:, :, columns].astype(np.float64).mean(axis=-1)
    return small.reshape(len(images), -1)
