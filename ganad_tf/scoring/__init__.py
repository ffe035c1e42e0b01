"""Anomaly score, anomaly map, threshold and probability: one definition for every runtime."""

from ganad_tf.calibration.thresholds import Threshold, choose_threshold, conformal_threshold
from ganad_tf.scoring.detector import MAP_COLOUR_RANGE, Detector
from ganad_tf.scoring.fit_detector import fit_detector, fit_encoder
from ganad_tf.scoring.scorer import Scorer

__all__ = [
    "MAP_COLOUR_RANGE",
    "Detector",
    "Scorer",
    "Threshold",
    "choose_threshold",
    "conformal_threshold",
    "fit_detector",
    "fit_encoder",
]
