"""What the report's threshold slider shows, and a table for readers without scripts.

The page's script (`thresholds.js`) computes from the same numbers, and tests hold both together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ganad_tf.calibration.thresholds import can_promise, conformal_threshold
from ganad_tf.data.images import LabelledImages
from ganad_tf.evaluation.false_alarms import CONFIDENCE, expected_rate, rate_bounds

# Rates that people ask for; those that too few validation images cannot promise are left out.
PROMISES = (0.001, 0.01, 0.02, 0.05, 0.1)
# More columns of kinds would not fit; the slider lists them all.
MAX_KINDS = 12
BINS = 100
# Of the drawing, in its own units: two lanes of bars, the normal images below.
WIDTH, LANE = 1000, 50


@dataclass(frozen=True)
class ThresholdRow:
    """What one threshold does.

    Attributes:
        rule: why this one.
        threshold: in score units.
        promised: as `expected_rate` gives it.
        seen: false alarms among the normal test images.
        found: anomalies of the test above it.
        found_by_kind: the same for each kind of anomaly.
    """

    rule: str
    threshold: float
    promised: dict[str, float]
    seen: int
    found: int
    found_by_kind: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What a reader needs to choose another threshold.

    Attributes:
        command: scores with another threshold, which is to be added at the end.
        rows: some thresholds, from the lowest to the highest.
        kinds: (name, number of test images) of each kind of anomaly.
        n_normal: normal test images.
        values: all that the script needs, as JSON values.
        bars: class of images -> their histogram as the path of an SVG drawing.
        chosen_at: where the run's threshold lies in the drawing.
    """

    command: str
    rows: Sequence[ThresholdRow]
    kinds: Sequence[tuple[str, int]]
    n_normal: int
    values: dict[str, Any]
    bars: dict[str, str]
    chosen_at: float


def describe_thresholds(
    test: LabelledImages, scores: ArrayLike, chosen: float, normal_scores: ArrayLike, command: str
) -> Thresholds:
    """Collects what the slider and its table show.

    Args:
        test: the test images.
        scores: their scores, [N].
        chosen: the run's threshold.
        normal_scores: of the normal validation images, on which promises rest.
        command: see `Thresholds`.
    """
    scores, normal_scores = np.asarray(scores, np.float32), np.asarray(normal_scores, float)
    anomalous = np.flatnonzero(np.bincount(test.kinds[test.is_anomaly]))
    kinds = [(test.kind_names[kind], int(np.sum(test.kinds == kind))) for kind in anomalous]
    values = np.concatenate([scores, normal_scores, [chosen]])
    # A single extreme score must not press all others together.
    far = chosen + 8 * (chosen - float(normal_scores.min()))
    low, high = float(values.min()), float(values.max())
    high = min(high, far) if far > chosen else high
    exponent = math.floor(math.log10((high - low) / 400)) if high > low else 0
    first, last = math.floor(low / 10**exponent) - 1, math.ceil(high / 10**exponent) + 1
    lower, upper = rate_bounds(len(normal_scores))

    def row(rule: str, threshold: float) -> ThresholdRow:
        above = scores.astype(float) > threshold
        by_kind = tuple(int(np.sum(above & (test.kinds == kind))) for kind in anomalous)
        seen = int(np.sum(above & ~test.is_anomaly))
        promised = expected_rate(normal_scores, threshold)
        return ThresholdRow(rule, threshold, promised, seen, sum(by_kind), by_kind)

    rows = [row("this run", chosen)]
    for rate in PROMISES:
        if can_promise(len(normal_scores), rate):
            threshold = conformal_threshold(normal_scores, rate)
            rows.append(row(f"at most {rate:.1%} promised", threshold))
    start, end = first * 10.0**exponent, last * 10.0**exponent
    groups = {"anomaly": scores[test.is_anomaly], "normal": scores[~test.is_anomaly]}
    return Thresholds(
        command=command,
        rows=sorted(rows, key=lambda one: one.threshold),
        kinds=kinds,
        n_normal=int(np.sum(~test.is_anomaly)),
        values={
            "chosen": chosen,
            # Positions of the slider are whole numbers of steps.
            **{"first": first, "last": last, "exponent": exponent},
            # The shortest digits that give the same float32 again.
            "scores": [float(str(score)) for score in scores],
            "kinds": test.kinds.tolist(),
            "kind_names": list(test.kind_names),
            "anomalous": anomalous.tolist(),
            "names": list(test.paths) if test.paths else None,
            "validation": np.sort(normal_scores).tolist(),
            "bounds": {"confidence": CONFIDENCE, "low": _short(lower), "high": _short(upper)},
        },
        bars={
            name: _bars(group, start, end, LANE * (i + 1))
            for i, (name, group) in enumerate(groups.items())
        },
        chosen_at=round((chosen - start) / (end - start) * WIDTH, 1),
    )


def _short(rates: np.ndarray) -> list[float]:
    return [float(f"{rate:.6g}") for rate in rates]


def _bars(scores: np.ndarray, start: float, end: float, base: int) -> str:
    """A histogram as the path of an SVG drawing; what lies outside is in the bars at its ends."""
    counts, _ = np.histogram(np.clip(scores, start, end), BINS, (start, end))
    width = WIDTH / BINS
    # Square roots keep a single image visible beside hundreds.
    heights = np.sqrt(counts / max(1, counts.max())) * (LANE - 6)
    return "".join(
        f"M{i * width + 1:g} {base}v{-height:.1f}h{width - 2:g}V{base}Z"
        for i, height in enumerate(heights)
        if height
    )
