"""Fits a scorer on calibration images: its recipe, shares, threshold and probability."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from ganad_tf.calibration.map_scale import MapScale
from ganad_tf.calibration.probability import balanced_regression, fit_probability
from ganad_tf.calibration.thresholds import choose_threshold
from ganad_tf.errors import DataError
from ganad_tf.plan import Plan
from ganad_tf.scoring.scorer import MIN_COMPONENT, Component, Scorer
from ganad_tf.settings.names import (
    AUTO,
    CLASSIFIER,
    CROSS_FITTED,
    FITTED_RECIPES,
    PRETRAINED,
    RECIPES,
)

# AUROCs of recipes differ by less than their sampling error on fewer labelled anomalies.
MIN_ANOMALIES_TO_COMPARE = 100
# Folds on which a fitted recipe is judged; each needs a normal image.
FOLDS = 5

Values = Mapping[str, np.ndarray]


def fit_to_validation(
    values: Mapping[str, np.ndarray],
    is_anomaly: np.ndarray,
    scales: Mapping[str, MapScale],
    plan: Plan,
    has_encoder: bool,
    crossed: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> Scorer:
    """The scorer of measured VALIDATION images, by the plan's shares if there is an encoder.

    Args:
        values: every component of every validation image, [N] each.
        is_anomaly: bool [N].
        scales: the scale of every map.
        plan: of the run.
        has_encoder: whether there is a pretrained encoder.
        crossed: the components in the plan's shares of normal training images, measured without
            them, [n] each; empty unless the plan is `cross_fit`.
    """
    recipes: Mapping[str, Mapping[str, float]] = RECIPES
    if has_encoder and plan.shares:
        recipes = {**RECIPES, PRETRAINED: plan.shares}
    if crossed:  # the other components were not measured
        recipes = {PRETRAINED: plan.shares}
        values = {name: np.concatenate([values[name], crossed[name]]) for name in crossed}
        more = len(next(iter(crossed.values())))
        is_anomaly = np.concatenate([is_anomaly, np.zeros(more, bool)])
    scorer = fit_scorer(values, is_anomaly, scales, plan, recipes)
    explanation = scorer.explanation
    if explanation["score"] == PRETRAINED and plan.shares:
        explanation = _with_shares(scorer, plan)
    if crossed:
        explanation = {**explanation, CROSS_FITTED: more}
    return dataclasses.replace(scorer, explanation=explanation)


def fit_scorer(
    values: Values,
    is_anomaly: np.ndarray,
    map_scales: Mapping[str, MapScale],
    plan: Plan,
    recipes: Mapping[str, Mapping[str, float]] = RECIPES,
) -> Scorer:
    """Fits a scorer on VALIDATION images, with few photos on normal training images, too.

    Args:
        values: for each component that can be measured, one positive value per image, [N].
        is_anomaly: bool [N]; at least one normal image.
        map_scales: kind of map -> its scale.
        plan: which recipe, which threshold, and whether the head counts.
        recipes: recipe -> component -> share.

    Raises:
        DataError: if there is no normal image or a value is not finite.
        UsageError: if the plan's false-alarm rate cannot be promised.
    """
    is_anomaly = np.asarray(is_anomaly, dtype=bool)
    _check(values, is_anomaly)
    references = {name: _positive(np.median(values[name][~is_anomaly])) for name in values}
    logs = {
        name: np.log(np.maximum(values[name], MIN_COMPONENT) / references[name]) for name in values
    }
    comparable = is_anomaly.sum() >= MIN_ANOMALIES_TO_COMPARE and (~is_anomaly).sum() >= FOLDS
    recipes = _usable_recipes(recipes, plan, values)
    # Weights fitted to a handful of labelled anomalies would fit their noise.
    labels = is_anomaly if comparable else np.zeros_like(is_anomaly)
    weights = {name: _weights(name, recipes[name], logs, labels, is_anomaly) for name in recipes}
    aurocs = _compare(recipes, weights, logs, is_anomaly) if comparable else {}
    recipe, why = _choose(plan, aurocs, is_anomaly)
    scores = _joined(weights[recipe], logs)
    threshold = choose_threshold(scores, is_anomaly, plan.max_false_alarms)
    slope, intercept = fit_probability(scores, is_anomaly, threshold.value)
    return Scorer(
        tuple(Component(name, references[name], w) for name, w in weights[recipe].items()),
        threshold.value,
        slope,
        intercept,
        {
            kind: dataclasses.replace(scale, high=_positive(scale.high))
            for kind, scale in map_scales.items()
        },
        tuple(float(score) for score in np.sort(scores[~is_anomaly])),
        {
            "score": recipe,
            "why": why,
            "validation_auroc": aurocs,
            "threshold": threshold.rule,
            "normal_images": int((~is_anomaly).sum()),
            "anomalous_images": int(is_anomaly.sum()),
        },
    )


def _with_shares(scorer: Scorer, plan: Plan) -> dict[str, Any]:
    """The scorer's explanation with the shares and their reason."""
    parts = ", ".join(f"{name} {share:.2g}" for name, share in plan.shares.items())
    why = f"{scorer.explanation['why']}; {plan.reasons['shares']}; shares: {parts}"
    return {**scorer.explanation, "why": why, "layout_auroc": plan.layout_auroc}


def _check(values: Values, is_anomaly: np.ndarray) -> None:
    for name in values:
        if not np.all(np.isfinite(values[name])):
            raise DataError(f"Component {name!r} must be finite. Received: NaN or infinity")
    if is_anomaly.all():
        raise DataError("Fitting a scorer needs normal validation images. Received: none")


def _usable_recipes(
    recipes: Mapping[str, Mapping[str, float]], plan: Plan, measured: Collection[str]
) -> dict[str, dict[str, float]]:
    """The recipes without what is not trained or measured; empty ones are left out."""
    usable = {
        recipe: {
            part: share
            for part, share in shares.items()
            if part in measured and (plan.trains_head or part != CLASSIFIER)
        }
        for recipe, shares in recipes.items()
    }
    return {recipe: shares for recipe, shares in usable.items() if shares}


def _weights(
    recipe: str,
    shares: Mapping[str, float],
    logs: Values,
    labels: np.ndarray,
    is_anomaly: np.ndarray,
) -> dict[str, float]:
    """The weight of each component of a recipe; they sum to 1."""
    if recipe in FITTED_RECIPES and labels.any():
        return _fitted_weights(shares, logs, labels)
    return _by_spread(shares, logs, is_anomaly)


def _compare(
    recipes: Mapping[str, Mapping[str, float]],
    weights: Mapping[str, Mapping[str, float]],
    logs: Values,
    is_anomaly: np.ndarray,
) -> dict[str, float]:
    """AUROC of each recipe on validation."""
    return {
        recipe: _crossed_auroc(list(shares), logs, is_anomaly)
        if recipe in FITTED_RECIPES
        else float(roc_auc_score(is_anomaly, _joined(weights[recipe], logs)))
        for recipe, shares in recipes.items()
    }


def _choose(plan: Plan, aurocs: Mapping[str, float], is_anomaly: np.ndarray) -> tuple[str, str]:
    """The recipe, and why."""
    if plan.score != AUTO:
        return plan.score, "as asked for"
    if not plan.all_kinds_known:
        return plan.fallback_score, "other kinds than the labelled ones are to be expected"
    if not aurocs:
        return plan.fallback_score, "too few labelled anomalies to compare"
    return _best(aurocs, is_anomaly)


def _positive(value: float) -> float:
    return max(float(value), MIN_COMPONENT)


def _fitted_weights(
    shares: Mapping[str, float], logs: Values, is_anomaly: np.ndarray
) -> dict[str, float]:
    """Weights of a logistic regression, without components whose weight would be negative."""
    names = list(shares)
    while len(names) > 1:
        columns = np.stack([logs[name] for name in names], axis=1)
        weights = balanced_regression().fit(columns, is_anomaly).coef_[0]
        if weights.min() > 0:
            return {name: float(w) for name, w in zip(names, weights / weights.sum(), strict=True)}
        del names[int(np.argmin(weights))]
    return {names[0]: 1.0}


def _by_spread(
    shares: Mapping[str, float], logs: Values, is_anomaly: np.ndarray
) -> dict[str, float]:
    """Weights that give each component its share in units of its spread over normal images."""
    weights = {
        name: share / max(float(np.std(logs[name][~is_anomaly])), 1e-6)
        for name, share in shares.items()
    }
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _best(aurocs: Mapping[str, float], is_anomaly: np.ndarray) -> tuple[str, str]:
    """The recipe with the highest AUROC, or the classifier if it is within a standard error.

    Near an AUROC of 1, the order of the recipes depends on one or two normal images. The
    classifier is the one that has learnt to separate these kinds.

    Source of the standard error: Hanley and McNeil, Radiology 143, 1982.
    """
    best = max(aurocs, key=lambda recipe: aurocs[recipe])
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


def _joined(weights: Mapping[str, float], logs: Values) -> np.ndarray:
    """The score of each image, [N]."""
    return np.sum([weight * logs[name] for name, weight in weights.items()], axis=0)


def _crossed_auroc(names: Sequence[str], logs: Values, is_anomaly: np.ndarray) -> float:
    """Cross-validated AUROC of fitted weights; without it, they would always win."""
    columns = np.stack([logs[name] for name in names], axis=1)
    scores = cross_val_predict(
        balanced_regression(), columns, is_anomaly, cv=FOLDS, method="decision_function"
    )
    return float(roc_auc_score(is_anomaly, scores))
