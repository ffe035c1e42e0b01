"""The probability of an anomaly, as a logistic function of the score."""

import math

import numpy as np
from sklearn.linear_model import LogisticRegression


def fit_probability(
    scores: np.ndarray, is_anomaly: np.ndarray, threshold: float
) -> tuple[float, float]:
    """Slope and intercept of the probability (Platt 1999; Ferrari and Enneifer fit the same).

    Args:
        scores: [N], of images that were not trained on.
        is_anomaly: bool [N]; at least one normal image.
        threshold: the score of even odds where there are no anomalies to fit to.

    Returns:
        The probability is sigmoid(slope * score + intercept); the slope is above 0.
    """
    if is_anomaly.any():
        regression = balanced_regression().fit(scores[:, None], is_anomaly)
        slope = float(regression.coef_[0, 0])
        if slope > 0:
            return slope, float(regression.intercept_[0])
    # Without anomalies: the slope from the spread of normal scores, even odds at the threshold.
    slope = 1 / max(float(np.std(scores[~is_anomaly])), 1e-3)
    return slope, -slope * threshold if math.isfinite(threshold) else 0.0


def balanced_regression() -> LogisticRegression:
    """A logistic regression for which both classes count alike, however many images they have."""
    return LogisticRegression(class_weight="balanced", max_iter=1000)
