"""The pixel threshold of an int8 model, whose maps are not quite those of the float32 model."""

from typing import NamedTuple

import numpy as np

from ganad_tf.data.images import LabelledImages

from .runtime import Scorer

BATCH = 256


class PixelThreshold(NamedTuple):
    """What an int8 model marks pixels by.

    Args:
        value: a pixel is marked if its map value is greater; a float32 number.
        normal_peaks: sorted largest map values of normal images, which carry its promise.
    """

    value: float
    normal_peaks: list[float]


def refit_pixel_threshold(
    int8: Scorer, floating: Scorer, validation: LabelledImages
) -> PixelThreshold | None:
    """The int8 pixel threshold that promises what the float32 one promises.

    That is one of the normal peaks, and its rank carries the promise: the same rank is taken. After
    a recalibration the peaks are those of other images; they move by as much as peaks typically do.

    Args:
        int8: the model, whatever its pixel threshold is.
        floating: the float32 model.
        validation: the images of the run; the normal ones are used.

    Returns:
        None if the float32 model has no pixel threshold.
    """
    if floating.pixel_threshold is None:
        return None
    peaks = _peaks(int8, validation)
    before = floating.normal_peaks.astype(np.float32)
    rank = np.flatnonzero(before == np.float32(floating.pixel_threshold))
    float_peaks = _peaks(floating, validation)
    # Peaks of the run's own images differ from the stored ones by rounding alone.
    if not len(rank) or not _are_those(float_peaks, before):
        change = np.float32(np.median(peaks.astype(np.float64) - float_peaks))
        moved = np.float32(floating.pixel_threshold) + change
        return PixelThreshold(float(moved), (before + change).tolist())
    ordered = np.sort(peaks)
    return PixelThreshold(float(ordered[rank[0]]), ordered.tolist())


def _are_those(peaks: np.ndarray, stored: np.ndarray) -> bool:
    return len(peaks) == len(stored) and np.allclose(np.sort(peaks), stored, rtol=1e-3, atol=1e-4)


def _peaks(scorer: Scorer, validation: LabelledImages) -> np.ndarray:
    """The largest map value of each normal image, float32 [n]."""
    normals = np.flatnonzero(~validation.is_anomaly)
    parts = []
    for start in range(0, len(normals), BATCH):
        images = np.asarray(validation.images[normals[start : start + BATCH]])
        maps = scorer.score(images, outputs=("anomaly_map",))["anomaly_map"]
        parts.append(maps.max(axis=(1, 2)))
    return np.concatenate(parts)
