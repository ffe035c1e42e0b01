"""Fits the pixel threshold to the largest map values of held-out normal images."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from ganad_tf.calibration.thresholds import choose_pixel_threshold, kept_rate
from ganad_tf.data.image_view import ImageView
from ganad_tf.data.images import LabelledImages
from ganad_tf.scoring.detector import batch_size_for
from ganad_tf.scoring.map_batches import map_batches
from ganad_tf.scoring.measure import Measurer
from ganad_tf.scoring.scorer import Scorer


def with_pixel_threshold(scorer: Scorer, peaks: np.ndarray, rate: float | None) -> Scorer:
    """The scorer with a threshold for pixels.

    Args:
        scorer: fitted to the same images.
        peaks: largest map values of normal images that were not trained on, [n].
        rate: see `choose_pixel_threshold`; the lowest that can be promised, if it cannot be.
    """
    # A score may rest on more images than the map does.
    chosen = choose_pixel_threshold(peaks, kept_rate(len(peaks), rate))
    return dataclasses.replace(
        scorer,
        pixel_threshold=chosen.value,
        normal_peaks=tuple(float(peak) for peak in np.sort(peaks)),
        explanation={**scorer.explanation, "pixel_threshold": chosen.rule},
    )


def normal_peaks(
    measurer: Measurer, scorer: Scorer, part: LabelledImages, maps: Mapping[str, np.ndarray]
) -> np.ndarray:
    """The largest map value of each normal image, float32 [n].

    Args:
        measurer: of the detector.
        scorer: which maps count, and their scales.
        part: the validation images.
        maps: of its first normal images, as `measure_part` gives them.
    """
    first = tf.reduce_max(scorer.anomaly_map(maps), axis=(1, 2)).numpy()
    rest = np.flatnonzero(~part.is_anomaly)[len(first) :]
    return np.concatenate([first, peaks_of(measurer, scorer, part.images, rest)])


def peaks_of(
    measurer: Measurer, scorer: Scorer, images: np.ndarray | ImageView, indices: np.ndarray
) -> np.ndarray:
    """The largest map value of each of the images at `indices`, float32 [len(indices)]."""
    if not len(indices):
        return np.empty(0, np.float32)
    kinds = set(scorer.map_kinds())

    def peaks(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        anomaly_map = scorer.anomaly_map(measurer(batch, kinds).maps)
        return {"peak": tf.reduce_max(anomaly_map, axis=(1, 2))}

    return map_batches(peaks, images, indices, batch_size_for(measurer))["peak"]
