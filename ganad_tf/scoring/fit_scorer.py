"""Fits a scorer on validation images: which components, their shares, threshold, probability."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from ganad_tf.errors import DataError
from ganad_tf.scoring.scorer import (
    CHOICES,
    CLASSIFIER,
    COMPONENTS,
    NOVELTY,
    SHARES,
    SMALLEST_COMPONENT,
    Component,
    MapScales,
    Scorer,
)
from ganad_tf.scoring.thresholds import best_f1_threshold, conformal_threshold

DEFAULT_FALSE_ALARMS = 0.05
# Fewer labelled anomalies than this cannot say which epoch or threshold is best ...
FEWEST_ANOMALIES = 20
# ... or which score, whose AUROCs differ by less than they err on so few.
FEWEST_TO_COMPARE = 100
# A join is judged on as many folds, and each needs a normal image.
FOLDS = 5


def fit_scorer(
    values: Mapping[str, np.ndarray],
    is_anomaly: np.ndarray,
    map_scales: MapScales,
    choice: str = "auto",
    max_false_alarms: float | None = None,
    all_kinds_known: bool = True,
    uncompared: str = NOVELTY,
    head_trained: bool = True,
) -> Scorer:
    """Fits a scorer on VALIDATION images.

    Args:
        values: for each of `COMPONENTS`, one positive value per image, [N].
        is_anomaly: bool [N]; at least one normal image.
        map_scales: see `MapScales`.
        choice: a key of `CHOICES`, or `auto` for the best of them on these images; see `_best`.
        max_false_alarms: the threshold's promise; `None` for the best F1, or for
            `DEFAULT_FALSE_ALARMS` where there are too few anomalies to know.
        all_kinds_known: whether the anomalies here stand for those to come.
        uncompared: a key of `SHARES`; `auto` takes it if they do not, or are too few.
        head_trained: whether the generator's head has learnt anything; if not, no score uses it.

    Raises:
        DataError: if there is no normal image or a value is not finite.
    """
    is_anomaly = np.asarray(is_anomaly, dtype=bool)
    for name in COMPONENTS:
        if not np.all(np.isfinite(values[name])):
            raise DataError(f"Component {name!r} must be finite. Received: NaN or infinity")
    if is_anomaly.all():
        raise DataError("Fitting a scorer needs normal validation images. Received: none")
    references = {name: _positive(np.median(values[name][~is_anomaly])) for name in COMPONENTS}
    logs = {
        name: np.log(np.maximum(values[name], SMALLEST_COMPONENT) / references[name])
        for name in COMPONENTS
    }
    comparable = is_anomaly.sum() >= FEWEST_TO_COMPARE and (~is_anomaly).sum() >= FOLDS
    # Weighing by a handful of labelled anomalies would fit their noise.
    labels = is_anomaly if comparable else np.zeros_like(is_anomaly)
    choices = {
        name: used
        for name, components in CHOICES.items()
        if (used := [part for part in components if head_trained or part != CLASSIFIER])
    }
    candidates = {
        name: _by_spread({part: SHARES[name][part] for part in used}, logs, is_anomaly)
        if name in SHARES
        else _weigh(used, logs, labels)
        for name, used in choices.items()
    }
    aurocs = {
        name: _crossed_auroc(used, logs, is_anomaly)
        if name not in SHARES and len(used) > 1
        else float(roc_auc_score(is_anomaly, _joined(candidates[name], logs)))
        for name, used in choices.items()
        if comparable
    }
    if choice == "auto":
        if not all_kinds_known:
            choice, why = uncompared, "other kinds than the labelled ones are to be expected"
        elif aurocs:
            choice, why = _best(aurocs, is_anomaly)
        else:
            choice, why = uncompared, "too few labelled anomalies to compare"
    else:
        why = "as asked for"
    weights = candidates[choice]
    scores = _joined(weights, logs)
    normal_scores = np.sort(scores[~is_anomaly])
    if max_false_alarms is None and is_anomaly.sum() >= FEWEST_ANOMALIES:
        threshold, rule = best_f1_threshold(scores, is_anomaly), "best F1 on validation"
    else:
        rate = max_false_alarms or default_false_alarms(len(normal_scores))
        threshold = conformal_threshold(normal_scores, rate)
        rule = f"at most {rate:.2%} false alarms (conformal)"
    slope, intercept = _calibrate(scores, is_anomaly, threshold)
    return Scorer(
        tuple(Component(name, references[name], weight) for name, weight in weights.items()),
        threshold,
        slope,
        intercept,
        dataclasses.replace(
            map_scales,
            error=_positive(map_scales.error),
            distance=_positive(map_scales.distance),
        ),
        tuple(float(score) for score in normal_scores),
        {
            "score": choice,
            "why": why,
            "validation_auroc": aurocs,
            "threshold": rule,
            "normal_images": int((~is_anomaly).sum()),
            "anomalous_images": int(is_anomaly.sum()),
        },
    )


def default_false_alarms(normals: int) -> float:
    """`DEFAULT_FALSE_ALARMS`, or the lowest rate that so few normal images can promise."""
    return max(DEFAULT_FALSE_ALARMS, 1.001 / (normals + 1))


def _positive(value: float) -> float:
    return max(float(value), SMALLEST_COMPONENT)


def _weigh(names, logs, is_anomaly) -> dict[str, float]:
    """Shares of the components: a logistic regression's, without those it weighs below zero."""
    names = list(names)
    if not is_anomaly.any():
        return _by_spread(dict.fromkeys(names, 1.0), logs, is_anomaly)
    while len(names) > 1:
        columns = np.stack([logs[name] for name in names], axis=1)
        weights = _regression().fit(columns, is_anomaly).coef_[0]
        if weights.min() > 0:
            return {name: float(w) for name, w in zip(names, weights / weights.sum(), strict=True)}
        del names[int(np.argmin(weights))]
    return {names[0]: 1.0}


def _by_spread(parts, logs, is_anomaly) -> dict[str, float]:
    """Shares of the components, each in units of its standard deviation over normal images."""
    shares = {n: part / max(float(np.std(logs[n][~is_anomaly])), 1e-6) for n, part in parts.items()}
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()}


def _best(aurocs: Mapping[str, float], is_anomaly: np.ndarray) -> tuple[str, str]:
    """The choice with the highest AUROC, and why; the classifier, if it is as good as that.

    Near 1 the order of the others hangs on one or two normal images, while the classifier is what
    has learnt to tell these kinds apart. As good is what differs by no more than a standard error.

    Source of the standard error: Hanley and McNeil, Radiology 143, 1982.
    """
    best = max(aurocs, key=aurocs.get)
    auroc, anomalies = aurocs[best], is_anomaly.sum()
    normals = len(is_anomaly) - anomalies
    variance = (
        auroc * (1 - auroc)
        + (anomalies - 1) * (auroc / (2 - auroc) - auroc**2)
        + (normals - 1) * (2 * auroc**2 / (1 + auroc) - auroc**2)
    ) / (anomalies * normals)
    if best != CLASSIFIER and aurocs.get(CLASSIFIER, 0) >= auroc - math.sqrt(max(variance, 0.0)):
        return CLASSIFIER, f"AUROC on validation within a standard error of the highest, {best}'s"
    return best, "highest AUROC on validation"


def _joined(shares, logs) -> np.ndarray:
    """The score of each image, [N]."""
    return np.sum([share * logs[name] for name, share in shares.items()], axis=0)


def _crossed_auroc(names, logs, is_anomaly) -> float:
    """AUROC of a fitted join, judged on folds it was not fitted on, or it would always win."""
    columns = np.stack([logs[name] for name in names], axis=1)
    scores = cross_val_predict(
        _regression(), columns, is_anomaly, cv=FOLDS, method="decision_function"
    )
    return float(roc_auc_score(is_anomaly, scores))


def _regression() -> LogisticRegression:
    return LogisticRegression(class_weight="balanced", max_iter=1000)


def _calibrate(scores, is_anomaly, threshold) -> tuple[float, float]:
    """Slope and intercept of the probability (Platt 1999; Ferrari and Enneifer fit the same)."""
    if is_anomaly.any():
        regression = _regression().fit(scores[:, None], is_anomaly)
        slope = float(regression.coef_[0, 0])
        if slope > 0:
            return slope, float(regression.intercept_[0])
    # Without anomalies only the scale of normal scores is known: even odds at the threshold.
    slope = 1 / max(float(np.std(scores[~is_anomaly])), 1e-3)
    return slope, -slope * threshold if math.isfinite(threshold) else 0.0
