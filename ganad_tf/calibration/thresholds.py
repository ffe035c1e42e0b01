"""Thresholds: an image is called anomalous when its score is GREATER than the threshold."""

import dataclasses
import math

import numpy as np
from sklearn.metrics import precision_recall_curve

from ganad_tf.errors import UsageError

# Promised by default when there are too few anomalies to find the threshold of best F1.
DEFAULT_FALSE_ALARMS = 0.05
# Fewer labelled anomalies than this cannot say which epoch or threshold is best.
MIN_ANOMALIES = 20
# See `steady_rate`. Chosen on ELPV, splits 10 to 12, with 20 to 45 photos.
SPARE = 2
# Scores of two runtimes differ by less, relative to the score or to 1.
ROUNDING = 1e-5


def best_f1_threshold(scores: np.ndarray, is_anomaly: np.ndarray) -> float:
    """The threshold of greatest F1, anomaly being the positive class.

    Args:
        scores: [N] anomaly scores.
        is_anomaly: bool [N], with both values present.

    Returns:
        The middle between the lowest score called anomalous and the next lower one, so that a
        rounding difference between two runtimes changes no decision.
    """
    precision, recall, cuts = precision_recall_curve(is_anomaly, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    cut = cuts[np.argmax(f1[:-1])]
    below = scores[scores < cut]
    if below.size:
        return float((cut + below.max()) / 2)
    # Every score is called anomalous. Exported graphs compare in float32.
    return float(cut - ROUNDING * max(1.0, abs(cut)))


def conformal_threshold(normal_scores: np.ndarray, max_false_alarms: float) -> float:
    """The lowest threshold whose false-alarm rate on new normal images is bounded.

    For normal images exchangeable with the given ones, the probability that a new one scores above
    the k-th smallest of n scores is at most 1 - k / (n + 1); k is the smallest that keeps this at
    most `max_false_alarms` (split conformal prediction: Vovk et al. 2005; Laxhammar 2014).

    Args:
        normal_scores: [n] scores of normal images that were not trained on.
        max_false_alarms: in (0, 1).

    Raises:
        UsageError: if n is too small to promise that rate.
    """
    count = len(normal_scores)
    if not 0 < max_false_alarms < 1:
        raise UsageError(f"max_false_alarms must be in (0, 1). Received: {max_false_alarms}")
    if not can_promise(count, max_false_alarms):
        raise UsageError(
            f"max_false_alarms must be at least {lowest_short_rate(count):g} with {count} normal "
            f"images. Received: {max_false_alarms}"
        )
    return float(np.sort(normal_scores)[_rank(count, max_false_alarms) - 1])


def can_promise(n_normal: int, max_false_alarms: float) -> bool:
    """Whether `conformal_threshold` can promise a rate by so many normal scores."""
    return _rank(n_normal, max_false_alarms) <= n_normal


def _rank(n_normal: int, max_false_alarms: float) -> int:
    """k of `conformal_threshold`."""
    # The tolerance keeps (n + 1)(1 - a) = 99.00000000000001 from becoming k = 100.
    return math.ceil((n_normal + 1) * (1 - max_false_alarms) - 1e-9)


@dataclasses.dataclass(frozen=True)
class Threshold:
    """A threshold and the rule that set it.

    Args:
        value: an image is anomalous if its score is greater.
        rule: for people, such as `best F1 on validation`.
    """

    value: float
    rule: str


def choose_threshold(
    scores: np.ndarray,
    is_anomaly: np.ndarray,
    max_false_alarms: float | None = None,
    source: str = "validation",
) -> Threshold:
    """The threshold for scores of images that nothing was fitted to.

    One rule for our model, for the baselines and for a new calibration.

    Args:
        scores: [N] anomaly scores.
        is_anomaly: bool [N], with at least one normal image.
        max_false_alarms: a promised false-alarm rate in (0, 1). By default the threshold of best
            F1 or, with fewer than `MIN_ANOMALIES` anomalies, `DEFAULT_FALSE_ALARMS` or the lowest
            rate that so few normal images can promise.
        source: which images these are, for the rule's name.

    Raises:
        UsageError: if there are too few normal images to promise the rate.
    """
    if max_false_alarms is None and np.count_nonzero(is_anomaly) >= MIN_ANOMALIES:
        return Threshold(best_f1_threshold(scores, is_anomaly), f"best F1 on {source}")
    normal_scores = scores[~is_anomaly]
    rate = default_rate(len(normal_scores)) if max_false_alarms is None else max_false_alarms
    value = conformal_threshold(normal_scores, rate)
    return Threshold(value, f"at most {rate:.2%} false alarms (conformal)")


def choose_pixel_threshold(
    normal_peaks: np.ndarray, max_false_alarms: float | None = None
) -> Threshold:
    """The map value above which a pixel is marked.

    An image has a marked pixel if its peak is above the threshold. So the promise is the one of
    `conformal_threshold`, with peaks for scores: at most the asked share of new normal images has
    any marked pixel.

    Args:
        normal_peaks: [n] largest map values of normal images that were not trained on.
        max_false_alarms: the promised share in (0, 1). By default `DEFAULT_FALSE_ALARMS`, or the
            lowest share that so few normal images can promise.

    Raises:
        UsageError: if there are too few images to promise the share.
    """
    rate = default_rate(len(normal_peaks)) if max_false_alarms is None else max_false_alarms
    value = conformal_threshold(normal_peaks, rate)
    return Threshold(value, f"at most {rate:.2%} of normal images have a marked pixel (conformal)")


def default_rate(n_normal: int) -> float:
    """The rate that is promised, by `n_normal` held-out images, where none is asked for."""
    return max(DEFAULT_FALSE_ALARMS, lowest_rate(n_normal))


def steady_rate(n_held_out: int, n_crossed: int) -> float:
    """The rate that is promised where none is asked for and training images count as well.

    `SPARE` of all scores stay above the threshold: the largest one often belongs to an odd image,
    and a threshold at that score would miss most anomalies. It is never more than what the held-out
    images promise alone.

    Args:
        n_held_out: the number of normal validation images.
        n_crossed: that of normal training images, more than `SPARE`.
    """
    count = n_held_out + n_crossed
    if count - _rank(count, DEFAULT_FALSE_ALARMS) >= SPARE:
        return DEFAULT_FALSE_ALARMS
    # With room to round, as in `lowest_rate`.
    return min(default_rate(n_held_out), (SPARE + 1.001) / (count + 1))


def kept_rate(n_normal: int, rate: float | None) -> float | None:
    """The rate, or the lowest that so few images can promise; None if none is asked for."""
    return rate if rate is None or can_promise(n_normal, rate) else lowest_rate(n_normal)


def lowest_short_rate(n_normal: int) -> float:
    """The lowest rate of two digits that so many images can promise, for people to type."""
    lowest = 1 / (n_normal + 1)
    digits = 1 - math.floor(math.log10(lowest))
    # Upwards; the tolerance keeps 20.000000000000004 from becoming 21.
    return round(math.ceil(lowest * 10**digits - 1e-9) / 10**digits, digits)


def lowest_rate(n_normal: int) -> float:
    """The lowest false-alarm rate that `conformal_threshold` can promise, with room to round."""
    return 1.001 / (n_normal + 1)
