"""How many false alarms a threshold should raise on new normal images, and how sure that is.

The threshold lies somewhere among the sorted scores of n normal validation images, x of them above
it. For continuous scores and images exchangeable with new ones, the share of new normal images
that score above the k-th smallest of the n is Beta(n + 1 - k, k) distributed over the draws of the
validation images (Vovk, *Conditional validity of inductive conformal predictors*, 2012). So the
rate of a threshold lies between those of its two neighbours, k = n - x and k = n - x + 1. A
conformal threshold is its own lower neighbour, and the distribution is exact. Any other is treated
as if it were chosen without these scores (Clopper and Pearson, 1934). The threshold of best F1 is
chosen on them, which the interval does not account for.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta, betabinom, rv_continuous, rv_discrete

CONFIDENCE = 0.9


def expected_rate(
    normal_scores: ArrayLike, threshold: float, confidence: float = CONFIDENCE
) -> dict[str, float]:
    """The false-alarm rate to expect on new normal images.

    Args:
        normal_scores: scores of n >= 1 normal validation images, in any order.
        threshold: an image is called an anomaly if its score is greater.
        confidence: the probability, over draws of validation images, that the interval contains
            the true rate. It is at least this if the threshold is none of the scores.

    Returns:
        `mean`, `low`, `high` and `confidence`, all in [0, 1].
    """
    lower, upper, count = _neighbours(normal_scores, threshold)
    tail = (1 - confidence) / 2
    return {
        "mean": (lower + upper) / 2 / (count + 1),
        "low": _quantile(beta, tail, lower, count),
        "high": _quantile(beta, 1 - tail, upper, count),
        "confidence": confidence,
    }


def expected_alarms(
    normal_scores: ArrayLike,
    threshold: float,
    images: int,
    confidence: float = CONFIDENCE,
) -> tuple[int, int]:
    """The range of false alarms to expect in a test with `images` normal images.

    It is wider than the interval of the rate, because the test images are a random draw, too (the
    beta-binomial distribution).

    Args:
        normal_scores, threshold, confidence: as in `expected_rate`.
        images: how many normal images are tested.
    """
    lower, upper, count = _neighbours(normal_scores, threshold)
    tail = (1 - confidence) / 2
    return (
        int(_quantile(betabinom, tail, lower, count, images)),
        int(_quantile(betabinom, 1 - tail, upper, count, images)),
    )


def rate_bounds(count: int, confidence: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
    """The ends of every interval that `expected_rate` can give, to look them up.

    With x of `count` normal scores above a threshold, and e = 1 if the threshold is one of them,
    else 0, the interval is from `low[x + e]` to `high[x + 1]`, and the mean is
    (2 x + e + 1) / 2 / (count + 1).

    Args:
        count, confidence: the number of normal scores, and as in `expected_rate`.

    Returns:
        low and high, each [count + 2].
    """
    a = np.arange(1, count + 1)
    tail = (1 - confidence) / 2
    low, high = (beta.ppf(share, a, count + 1 - a) for share in (tail, 1 - tail))
    return np.concatenate([[0], low, [1]]), np.concatenate([[0], high, [1]])


def is_one_of(normal_scores: ArrayLike, threshold: float) -> bool:
    """Whether the threshold is one of the scores, as a conformal one is."""
    return bool(np.any(np.asarray(normal_scores) == threshold))


def _neighbours(normal_scores: ArrayLike, threshold: float) -> tuple[int, int, int]:
    """a of the lower and of the upper distribution Beta(a, n + 1 - a), and n."""
    scores = np.asarray(normal_scores)
    above = int(np.count_nonzero(scores > threshold))
    return above + is_one_of(scores, threshold), above + 1, len(scores)


def _quantile(
    family: rv_continuous | rv_discrete,
    share: float,
    a: int,
    count: int,
    images: int | None = None,
) -> float:
    # Below all scores or above them there is no neighbour: the rate may be anything up to 1 or 0.
    if a in (0, count + 1):
        return float(a > 0) * (images or 1)
    trials = () if images is None else (images,)
    return float(family.ppf(share, *trials, a, count + 1 - a))
