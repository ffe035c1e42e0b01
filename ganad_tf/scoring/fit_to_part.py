"""Measures the validation part, and fits the scorer with both thresholds to it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ganad_tf.calibration.map_scale import MAX_MAP_PIXELS, MapScale, fit_map_scale
from ganad_tf.data.images import LabelledImages
from ganad_tf.plan import Plan
from ganad_tf.scoring.cross_fit import Fold, fold_peaks, with_promised_rate
from ganad_tf.scoring.detector import batch_size_for
from ganad_tf.scoring.fit_pixels import normal_peaks, peaks_of, with_pixel_threshold
from ganad_tf.scoring.fit_scorer import fit_to_validation
from ganad_tf.scoring.map_batches import map_batches
from ganad_tf.scoring.measure import Measurer
from ganad_tf.scoring.scorer import Scorer
from ganad_tf.settings.names import MAX_ERROR


class MeasuredPart(NamedTuple):
    """Measurements of a part.

    Args:
        values: every component of every image, [N] each.
        scales: the scale of every map.
        maps: every map of the first normal images, about `MAX_MAP_PIXELS` pixels at most.
    """

    values: dict[str, np.ndarray]
    scales: dict[str, MapScale]
    maps: dict[str, np.ndarray]


def measure_part(measurer: Measurer, part: LabelledImages) -> MeasuredPart:
    """Measures every image of a part.

    Scales are quantiles over the pixels of normal images, at most `MAX_MAP_PIXELS`.
    """

    def values(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return measurer(images, measurer.components).values

    def maps(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return measurer(images, measurer.components).maps

    def both(images: tf.Tensor) -> dict[str, tf.Tensor]:
        measured = measurer(images, measurer.components)
        return {**measured.values, **{f"map {kind}": m for kind, m in measured.maps.items()}}

    size, every = batch_size_for(measurer), np.arange(len(part))
    normals = np.flatnonzero(~part.is_anomaly)
    pixels_each = part.images.shape[1] * part.images.shape[2]
    if len(part) * pixels_each <= MAX_MAP_PIXELS:  # one pass: the maps of all images fit in memory
        found = map_batches(both, part.images, every, size)
        kinds = [name for name in found if name.startswith("map ")]
        pixels = {name.removeprefix("map "): found.pop(name)[normals] for name in kinds}
    else:
        found = map_batches(values, part.images, every, size)
        some = normals[: max(1, MAX_MAP_PIXELS // pixels_each)]
        pixels = map_batches(maps, part.images, some, size)
    scales = {kind: fit_map_scale(pixels[kind], kind != MAX_ERROR) for kind in pixels}
    return MeasuredPart(found, scales, pixels)


class MoreImages(NamedTuple):
    """Images that join the validation part: those whose decision a person has corrected.

    Args:
        images: uint8 [n, h, w, C].
        is_anomaly: bool [n].
        values: every component of every image, [n] each.
    """

    images: np.ndarray
    is_anomaly: np.ndarray
    values: Mapping[str, np.ndarray]


def fit_to_part(
    measurer: Measurer,
    part: LabelledImages,
    measured: MeasuredPart,
    plan: Plan,
    folds: Sequence[Fold],
    crossed: Mapping[str, np.ndarray],
    more: MoreImages | None = None,
) -> Scorer:
    """Chooses the components and fits the threshold, the probability and the pixel threshold.

    Args:
        measurer: of the detector.
        part: VALIDATION images.
        measured: of `measure_part`, for the same images.
        plan: of the run.
        folds: of normal training images that count as well; see `ganad_tf.scoring.cross_fit`.
        crossed: their `fold_values` of the plan's shares.
        more: images that join the part.

    Raises:
        UsageError: if the false-alarm rate cannot be promised with so few images.
    """
    values, is_anomaly = measured.values, part.is_anomaly
    if more is not None:
        values = {name: np.concatenate([values[name], more.values[name]]) for name in values}
        is_anomaly = np.concatenate([is_anomaly, more.is_anomaly])
    plan = with_promised_rate(plan, is_anomaly, folds)
    has_encoder = measurer.encoder is not None
    scorer = fit_to_validation(values, is_anomaly, measured.scales, plan, has_encoder, crossed)
    peaks = [
        normal_peaks(measurer, scorer, part, measured.maps),
        *fold_peaks(folds, scorer, *part.images.shape[1:3]),
    ]
    if more is not None:
        peaks.append(peaks_of(measurer, scorer, more.images, np.flatnonzero(~more.is_anomaly)))
    return with_pixel_threshold(scorer, np.concatenate(peaks), plan.max_false_alarms)
