"""What is allowed to int8, and when a test set shows that it was exceeded.

int8 changes scores a little. It is allowed an AUROC up to 0.001 lower than float32's and another
decision on 0.5 % of the images. Both are properties of the model on all images of its kind, and a
test set measures them with an error: 9 different decisions of 1,082 are 0.83 %, but they are no
evidence against 0.5 % (the 95 % bound is 0.44 %); 90 of 10,000 are 0.9 %, and they are (0.75 %).
So a limit counts as exceeded when a one-sided lower confidence bound of 95 % lies above it:

- decisions: the exact binomial bound (Clopper and Pearson 1934) of the share that differs. One
  different decision is never held against a model: it is all that a small test set can show.
- AUROC: the drop minus 1.645 times its standard error. Both models score the same images, so the
  error is that of the paired difference (DeLong et al. 1988), far smaller than either AUROC's own.
"""

import dataclasses
import math

import numpy as np

from ganad_tf.errors import UsageError

# scipy is imported where it is used: --help should not wait for it.

MAX_AUROC_DROP = 0.001
MAX_DISAGREEMENT = 0.005
CONFIDENCE = 0.95
# Of the two-sided intervals in the model card.
CONFIDENCE_OF_CARD = 0.95
LIMITS = """\
int8 is allowed an AUROC 0.001 lower than float32's (--max-auroc-drop) and another decision on 0.5 %
of the images. A test set measures both with an error, so a limit counts as exceeded only when a
one-sided 95 % confidence bound lies above it: for decisions the exact binomial bound (9 of 1,082
pass, 90 of 10,000 do not; one decision always passes), for the AUROC the drop minus 1.645 times the
standard error of the paired difference (DeLong).
"""


def check_max_auroc_drop(drop: float) -> None:
    """Checks the flag of `export` and `export.verify`.

    Raises:
        UsageError: if it is not in 0..1; NaN would allow everything.
    """
    if not 0 <= drop <= 1:
        raise UsageError(f"--max-auroc-drop must be in 0..1. Received: {drop}")


@dataclasses.dataclass(frozen=True)
class AurocDrop:
    """How much lower an AUROC is than the reference's, on the same images.

    Args:
        value: the drop; negative if it is higher.
        standard_error: of the drop; infinite with fewer than two images of either class.
    """

    value: float
    standard_error: float

    def lower_bound(self, confidence: float = CONFIDENCE) -> float:
        """The one-sided lower confidence bound of the drop."""
        from scipy import stats

        return self.value - float(stats.norm.ppf(confidence)) * self.standard_error


def disagreement_bound(differing: int, count: int, confidence: float = CONFIDENCE) -> float:
    """The exact one-sided lower confidence bound of the share of differing decisions.

    Args:
        differing: how many of the decisions differ.
        count: how many were compared, at least 1.
        confidence: in (0, 1).

    Source: Clopper and Pearson 1934.
    """
    if differing == 0:
        return 0.0
    from scipy import stats

    return float(stats.beta.ppf(1 - confidence, differing, count - differing + 1))


def too_many_differ(differing: int, count: int) -> bool:
    """Whether these decisions show that more than `MAX_DISAGREEMENT` of all would differ."""
    return differing > 1 and disagreement_bound(differing, count) > MAX_DISAGREEMENT


def auroc_drop(is_anomaly: np.ndarray, reference: np.ndarray, scores: np.ndarray) -> AurocDrop:
    """The drop of the AUROC from reference scores to others, with its paired standard error.

    Args:
        is_anomaly: bool [N], with both values.
        reference: float [N], the scores that are compared with.
        scores: float [N], of the same images.

    Source: DeLong, DeLong and Clarke-Pearson 1988, by midranks as in Sun and Xu 2014.
    """
    difference = [
        before - after
        for before, after in zip(
            _placements(is_anomaly, reference), _placements(is_anomaly, scores), strict=True
        )
    ]
    variances = [part.var(ddof=1) / len(part) if len(part) > 1 else math.inf for part in difference]
    return AurocDrop(float(difference[0].mean()), math.sqrt(sum(variances)))


def auroc_error(is_anomaly: np.ndarray, scores: np.ndarray) -> float:
    """Standard error of an AUROC; infinite with fewer than two images of either class.

    Args:
        is_anomaly: bool [N], with both values.
        scores: float [N].

    Source: DeLong, DeLong and Clarke-Pearson 1988.
    """
    parts = _placements(is_anomaly, scores)
    return math.sqrt(sum(p.var(ddof=1) / len(p) if len(p) > 1 else math.inf for p in parts))


Interval = tuple[float | None, float | None, float | None]


def auroc_interval(auroc: float | None, error: float | None) -> Interval:
    """An AUROC and its two-sided interval, by the normal distribution of its logit.

    Args:
        auroc: None if it was not measured.
        error: its standard error. Without one, or with none (an AUROC of 0 or 1), the interval is
            not known.

    Returns:
        The AUROC, the lower and the upper end.
    """
    if auroc is None or not error or not 0 < auroc < 1:
        return auroc, None, None
    from scipy import stats

    width = float(stats.norm.ppf((1 + CONFIDENCE_OF_CARD) / 2)) * error / (auroc * (1 - auroc))
    middle = math.log(auroc / (1 - auroc))
    low, high = (1 / (1 + math.exp(-(middle + side * width))) for side in (-1, 1))
    return auroc, low, high


def share_interval(count: int, total: int) -> Interval:
    """A share and its exact two-sided interval (Clopper and Pearson 1934); None of nothing."""
    if not total:
        return None, None, None
    from scipy import stats

    tail = (1 - CONFIDENCE_OF_CARD) / 2
    low = float(stats.beta.ppf(tail, count, total - count + 1)) if count else 0.0
    high = float(stats.beta.ppf(1 - tail, count + 1, total - count)) if count < total else 1.0
    return count / total, low, high


def _placements(is_anomaly: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each anomaly the share of normal images below it, for each normal one that of anomalies
    above it; ties count half. The mean of either is the AUROC."""
    from scipy import stats

    anomalous, normal = scores[is_anomaly], scores[~is_anomaly]
    ranks = stats.rankdata(np.concatenate([anomalous, normal]))
    below = (ranks[: len(anomalous)] - stats.rankdata(anomalous)) / len(normal)
    above = 1 - (ranks[len(anomalous) :] - stats.rankdata(normal)) / len(anomalous)
    return below, above
