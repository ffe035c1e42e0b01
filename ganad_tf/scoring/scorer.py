"""The scorer: how an image's errors and features become one score, a decision, a probability.

A scorer is fitted once, on data that is not the test set, and is then a handful of numbers. The
same object scores in evaluation and is written into the exported graphs.
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from ganad_tf.errors import DataError
from ganad_tf.scoring.thresholds import best_f1_threshold, conformal_threshold

RECONSTRUCTION, PATCH, SPOT = "reconstruction", "patch", "spot"
FEATURES, LOCAL, CLASSIFIER = "features", "local", "classifier"
COMPONENTS = (RECONSTRUCTION, PATCH, SPOT, FEATURES, LOCAL, CLASSIFIER)
NOVELTY, DEFECTS = "novelty", "defects"
# What these add up, in units in which each component varies alike over normal images. They fit no
# weights to labelled anomalies, so that kinds which nobody has labelled count, too.
SHARES = {
    # Other things than the normal ones. Chosen on Fashion-MNIST's classes 0, 6 and 8.
    NOVELTY: {FEATURES: 1.0, LOCAL: 0.5, CLASSIFIER: 0.25},
    # Normal things with a defect somewhere. Chosen on textures with synthetic defects.
    DEFECTS: {SPOT: 1.0, PATCH: 1.0, LOCAL: 1.0, CLASSIFIER: 0.5},
}
# What `--score` may name: each is a set of components that are joined.
CHOICES: dict[str, tuple[str, ...]] = {
    "reconstruction": (RECONSTRUCTION,),
    "features": (FEATURES,),
    "local": (LOCAL,),
    "spot": (SPOT,),
    **{name: tuple(shares) for name, shares in SHARES.items()},
    "classifier": (CLASSIFIER,),
    "joint": COMPONENTS,
}
DEFAULT_FALSE_ALARMS = 0.05
# Fewer labelled anomalies than this cannot say which score or threshold is best.
FEWEST_ANOMALIES = 20
# Far below any value that occurs, yet a normal number in float32.
SMALLEST_COMPONENT = 1e-30


@dataclasses.dataclass(frozen=True)
class Component:
    """One measurement of an image and its part in the score.

    Args:
        name: one of `COMPONENTS`.
        reference: its median over normal validation images; above 0.
        weight: its share; the shares of a scorer sum to 1.
    """

    name: str
    reference: float
    weight: float


@dataclasses.dataclass(frozen=True)
class MapScales:
    """What makes anomaly maps comparable between images, from pixels of normal validation images.

    Args:
        error: 99.9 % quantile of |x - G(x)|, smoothed.
        distance: 99.9 % quantile of the local feature distance.
        typical_distance: its median; unlike errors, distances are far from 0 on normal images.
    """

    error: float
    distance: float
    typical_distance: float


@dataclasses.dataclass(frozen=True)
class Scorer:
    """Score, probability and decision from an image's component values.

    score = sum over components of weight * ln(value / reference): 0 is a typical normal image, and
    a score of 1 means that the components stand e = 2.7 times as high as there.

    Args:
        components: what the score is made of.
        threshold: an image is anomalous if its score is greater.
        slope, intercept: probability = sigmoid(slope * score + intercept), at even odds.
        map_scales: see `MapScales`.
        normal_scores: sorted scores of the normal validation images; any other false-alarm rate
            can be turned into a threshold with them later.
        explanation: how the components and the threshold were chosen, for people.
    """

    components: tuple[Component, ...]
    threshold: float
    slope: float
    intercept: float
    map_scales: MapScales
    normal_scores: tuple[float, ...]
    explanation: dict

    def score(self, values: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The anomaly score [N] of component values, each [N]."""
        terms = [
            c.weight * tf.math.log(tf.maximum(values[c.name], SMALLEST_COMPONENT) / c.reference)
            for c in self.components
        ]
        return tf.add_n(terms)

    def probability(self, scores: tf.Tensor) -> tf.Tensor:
        """Probability [N] that an image is an anomaly, where both are equally frequent."""
        return tf.sigmoid(self.slope * scores + self.intercept)

    def is_anomaly(self, scores: tf.Tensor) -> tf.Tensor:
        """Decision [N], bool."""
        return scores > self.threshold

    def anomaly_map(self, errors: tf.Tensor, distances: tf.Tensor | None) -> tf.Tensor:
        """The anomaly map [N, h, w], in units in which 1 is rarely passed by a normal pixel.

        Args:
            errors: |x - G(x)|, smoothed, [N, h, w].
            distances: the local feature distance, likewise; needed where the score uses it.
        """
        scales = self.map_scales
        errors = errors / scales.error
        if not self.uses(LOCAL):
            return errors
        # Less the typical one, so that normal images stay cool.
        distances = (distances - scales.typical_distance) / scales.distance
        return (errors + distances) / 2 if self.uses(SPOT) else distances

    def uses(self, name: str) -> bool:
        """Whether a component is part of the score."""
        return any(component.name == name for component in self.components)

    def calibration(self) -> dict:
        """What turns a score into a decision and a probability, for `calibration.json`."""
        return {
            "threshold": self.threshold,
            "threshold_rule": self.explanation["threshold"],
            "slope": self.slope,
            "intercept": self.intercept,
            "normal_scores": list(self.normal_scores),
        }

    def with_threshold(self, max_false_alarms: float) -> "Scorer":
        """The same scorer with the conformal threshold for another false-alarm rate."""
        threshold = conformal_threshold(np.array(self.normal_scores), max_false_alarms)
        return dataclasses.replace(self, threshold=threshold)

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping) -> "Scorer":
        """The inverse of `to_dict`."""
        components = tuple(Component(**component) for component in values["components"])
        scores = tuple(values["normal_scores"])
        scales = MapScales(**values["map_scales"])
        return cls(
            **{**values, "components": components, "normal_scores": scores, "map_scales": scales}
        )


def fit_scorer(
    values: Mapping[str, np.ndarray],
    is_anomaly: np.ndarray,
    map_scales: MapScales,
    choice: str = "auto",
    max_false_alarms: float | None = None,
    all_kinds_known: bool = True,
    unsupervised: str = NOVELTY,
) -> Scorer:
    """Fits a scorer on VALIDATION images.

    Args:
        values: for each of `COMPONENTS`, one positive value per image, [N].
        is_anomaly: bool [N]; at least one normal image.
        map_scales: see `MapScales`.
        choice: a key of `CHOICES`, or `auto` for the best of them on these images.
        max_false_alarms: the threshold's promise; `None` for the best F1, or for
            `DEFAULT_FALSE_ALARMS` where there are too few anomalies to know.
        all_kinds_known: whether the anomalies here stand for those to come. If not, `auto` takes
            `unsupervised`.
        unsupervised: a key of `SHARES`.

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
    enough = is_anomaly.sum() >= FEWEST_ANOMALIES
    # Weighing by a handful of labelled anomalies would fit their noise.
    labels = is_anomaly if enough else np.zeros_like(is_anomaly)
    candidates = {
        name: _by_spread(SHARES[name], logs, is_anomaly)
        if name in SHARES
        else _weigh(names, logs, labels)
        for name, names in CHOICES.items()
    }
    aurocs = {name: _validation_auroc(name, logs, is_anomaly) for name in CHOICES} if enough else {}
    if choice == "auto":
        if not all_kinds_known:
            choice, why = unsupervised, "other kinds than the labelled ones are to be expected"
        elif aurocs:
            choice, why = max(aurocs, key=aurocs.get), "highest AUROC on validation"
        else:
            choice, why = unsupervised, "too few labelled anomalies to compare"
    else:
        why = "as asked for"
    weights = candidates[choice]
    scores = np.sum([weight * logs[name] for name, weight in weights.items()], axis=0)
    normal_scores = np.sort(scores[~is_anomaly])
    if max_false_alarms is None and enough:
        threshold, rule = best_f1_threshold(scores, is_anomaly), "best F1 on validation"
    else:
        rate = max_false_alarms or max(DEFAULT_FALSE_ALARMS, 1.001 / (len(normal_scores) + 1))
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


def _validation_auroc(choice, logs, is_anomaly) -> float:
    names = CHOICES[choice]
    if choice in SHARES:
        shares = _by_spread(SHARES[choice], logs, is_anomaly)
        scores = np.sum([share * logs[name] for name, share in shares.items()], axis=0)
        return float(roc_auc_score(is_anomaly, scores))
    columns = np.stack([logs[name] for name in names], axis=1)
    if len(names) == 1:
        return float(roc_auc_score(is_anomaly, columns[:, 0]))
    # A fitted join is judged on folds it was not fitted on, or it would always win.
    scores = cross_val_predict(_regression(), columns, is_anomaly, cv=5, method="decision_function")
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
