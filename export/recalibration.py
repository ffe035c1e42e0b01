"""Fits threshold, probability, map scales and ranges of statistics to new images."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ganad_tf import __version__
from ganad_tf.calibration.map_scale import MapScale
from ganad_tf.calibration.probability import fit_probability
from ganad_tf.calibration.thresholds import (
    Threshold,
    choose_pixel_threshold,
    choose_threshold,
    lowest_short_rate,
)
from ganad_tf.data.image_statistics import ranges_of
from ganad_tf.evaluation.false_alarms import expected_rate, is_one_of
from ganad_tf.wording import counted

from .new_images import Measured


@dataclasses.dataclass(frozen=True)
class Before:
    """The calibration of the model or run that is recalibrated.

    Args:
        sha256: of the model file, or of the run's scorer.json.
        threshold: the old one.
        probability: `slope` and `intercept`; None if they are not known.
        pixel_threshold: the old one; None in models and runs of earlier versions.
        compares: whether the scores stay; old values say nothing about other scores.
    """

    sha256: str
    threshold: float
    probability: dict[str, float] | None
    pixel_threshold: float | None = None
    compares: bool = True

    def beside(self, old: Any, new: Any) -> dict[str, Any]:
        """The `old` and the `new` of two values; the new one alone if they do not compare."""
        return {"old": old, "new": new} if self.compares else {"new": new}


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A calibration for new images.

    Args:
        threshold: with its rule; a float32 number.
        slope, intercept: of the probability.
        normal_scores: of the new normal images, sorted.
        map_scales: kind of map -> its scale; empty if the maps keep theirs.
        ranges: of the new normal images, see `ganad_tf.data.image_statistics.fit_ranges`; None if
            the old ones stay.
        record: where all of this comes from, plain values for JSON.
        pixel_threshold: with its rule, a float32 number; None if no maps were measured.
        normal_peaks: largest map values of the new normal images, sorted.
    """

    threshold: Threshold
    slope: float
    intercept: float
    normal_scores: list[float]
    map_scales: dict[str, MapScale]
    ranges: dict[str, Any] | None
    record: dict[str, Any]
    pixel_threshold: Threshold | None = None
    normal_peaks: tuple[float, ...] = ()


def fit(
    before: Before, normals: Measured, anomalies: Measured | None, max_false_alarms: float | None
) -> Fitted:
    """Fits a calibration.

    Args:
        before: the old one.
        normals: the new normal images.
        anomalies: new anomalies, if there are any.
        max_false_alarms: the promised rate in (0, 1); by default as in training, see
            `ganad_tf.calibration.thresholds.choose_threshold`.

    Raises:
        UsageError: if so few normal images cannot promise the rate.
    """
    normal_scores = normals.scores.astype(np.float64)
    found = np.empty(0) if anomalies is None else anomalies.scores.astype(np.float64)
    scores = np.concatenate([normal_scores, found])
    is_anomaly = np.arange(len(scores)) >= len(normal_scores)
    chosen = choose_threshold(scores, is_anomaly, max_false_alarms, "the calibration images")
    # The graph compares float32 numbers.
    threshold = Threshold(float(np.float32(chosen.value)), chosen.rule)
    slope, intercept = fit_probability(scores, is_anomaly, threshold.value)
    scales = normals.map_scales
    pixel = _pixel_threshold(normals.peaks, max_false_alarms)

    def above(some: np.ndarray) -> dict[str, int]:
        """How many images the old and the new threshold call anomalies."""
        limits = before.beside(before.threshold, threshold.value)
        return {name: int(np.count_nonzero(some > limit)) for name, limit in limits.items()}

    probability = {"slope": slope, "intercept": intercept}
    record = {
        **describe_decision(before, threshold, probability, normal_scores),
        "normal_images": len(normal_scores),
        "anomalous_images": len(found),
        "copies_left_out": normals.copies + (0 if anomalies is None else anomalies.copies),
        "false_alarms": above(normal_scores),
        "anomalies_found": above(found),
        "map_scales": {kind: dataclasses.asdict(scale) for kind, scale in scales.items()},
    }
    if pixel is not None:
        record |= describe_marks(before, pixel, normals.peaks)
    ranges = None
    if normals.statistics:
        ranges = {"source": "recalibration", **ranges_of(normals.statistics)}
    ordered = [float(score) for score in np.sort(normal_scores)]
    peaks = tuple(float(peak) for peak in np.sort(normals.peaks))
    return Fitted(threshold, slope, intercept, ordered, scales, ranges, record, pixel, peaks)


def describe_decision(
    before: Before,
    chosen: Threshold,
    probability: dict[str, float],
    normal_scores: np.ndarray | Sequence[float],
) -> dict[str, Any]:
    """What a record says of the threshold and the probability, and when they were fitted.

    Args:
        before: the old calibration.
        chosen: the new threshold.
        probability: the new `slope` and `intercept`.
        normal_scores: of the normal images that both were fitted to.
    """
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "ganad_version": __version__,
        "old_sha256": before.sha256,
        "threshold": {**before.beside(before.threshold, chosen.value), "rule": chosen.rule},
        "probability": before.beside(before.probability, probability),
        "expected_false_alarm_rate": expected_rate(normal_scores, chosen.value),
    }


def describe_marks(
    before: Before, chosen: Threshold, normal_peaks: np.ndarray | Sequence[float]
) -> dict[str, Any]:
    """What a record says of the pixel threshold.

    Args:
        before: the old calibration.
        chosen: the new pixel threshold.
        normal_peaks: of the normal images that it was fitted to.
    """
    return {
        "pixel_threshold": {
            **before.beside(before.pixel_threshold, chosen.value),
            "rule": chosen.rule,
        },
        "expected_marked_normal_rate": expected_rate(normal_peaks, chosen.value),
    }


def _pixel_threshold(peaks: np.ndarray, max_false_alarms: float | None) -> Threshold | None:
    """The pixel threshold, a float32 number; None without peaks."""
    if not len(peaks):
        return None
    chosen = choose_pixel_threshold(peaks, max_false_alarms)
    return Threshold(float(np.float32(chosen.value)), chosen.rule)


def report(fitted: Fitted) -> list[str]:
    """What was fitted, and what so many images can promise; lines for a person."""
    record, threshold = fitted.record, fitted.threshold
    images, anomalies = record["normal_images"], record["anomalous_images"]
    rate, alarms = record["expected_false_alarm_rate"], record["false_alarms"]
    lines = [
        f"{counted(images, 'normal image')}, {counted(anomalies, 'anomaly')}",
        f"threshold: {_before_and_now(record['threshold'])} ({threshold.rule})",
        f"false alarms to expect on new normal images: {_percent(rate['mean'])}, with "
        f"{rate['confidence']:.0%} confidence between {_percent(rate['low'])} and "
        f"{_percent(rate['high'])}",
        f"false alarms on these images: {_of(alarms, images)}",
    ]
    if record["copies_left_out"]:
        lines[0] += f"; {counted(record['copies_left_out'], 'copy')} of these left out"
    if not is_one_of(fitted.normal_scores, threshold.value):
        lines[2] += "; the interval ignores that the threshold was chosen on these scores"
    if anomalies:
        lines.append(f"anomalies found among these: {_of(record['anomalies_found'], anomalies)}")
    lines.append(
        f"the lowest rate that {counted(images, 'normal image')} can promise: "
        f"{_percent(lowest_short_rate(images))}; a rate A needs 1 / A - 1 images"
    )
    if "corrections" in record:
        lines.insert(1, _corrected(record))
    if fitted.pixel_threshold is not None:
        lines.append(
            f"pixel threshold: {_before_and_now(record['pixel_threshold'])} "
            f"({fitted.pixel_threshold.rule})"
        )
    if fitted.ranges is None:
        lines.append("the anomaly map, the mask and the ranges for warnings stay as they are")
    elif not fitted.map_scales:
        lines.append("the anomaly map keeps its scale: the graph does not show where it is applied")
    return lines


def _corrected(record: dict[str, Any]) -> str:
    """How many of the images are corrections."""
    counts, stored = record["corrections"], record["stored_normal_scores"]
    line = (
        f"of these, {counted(counts['normal'], 'normal image')} and "
        f"{counted(counts['anomaly'], 'anomaly')} are corrections"
    )
    return line + f"; {stored:,} normal scores are the model's own" * bool(stored)


def _before_and_now(values: dict[str, Any]) -> str:
    """Both thresholds of `Before.beside`, or the new one alone."""
    if "old" not in values:
        return f"{values['new']:.6g}"
    old = "none" if values["old"] is None else f"{values['old']:.6g}"
    return f"{old} before, {values['new']:.6g} now"


def _of(counts: dict[str, int], total: int) -> str:
    """Both counts of `Before.beside`, or the new one alone."""
    if "old" not in counts:
        return f"{counts['new']:,} of {total:,}"
    return f"{counts['old']:,} of {total:,} before, {counts['new']:,} now"


def _percent(rate: float) -> str:
    return f"{100 * rate:.3g} %"
