"""The detector as a scikit-learn estimator, for pipelines and cross-validation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from ganad_tf.api import train
from ganad_tf.errors import UsageError
from ganad_tf.scoring import Detector


class GANAnomalyDetector(ClassifierMixin, BaseEstimator):
    """Learns from normal images and labelled anomalies; a classifier of the classes 0 and 1.

    Class 1 is the anomaly, so higher scores are more anomalous. Unlike scikit-learn's outlier
    detectors, which give -1 and 1, `predict` gives 1 for an anomaly and 0 for a normal image.

        cross_val_score(GANAnomalyDetector(epochs=5), images, labels, scoring="roc_auc", cv=3)

    A fitted estimator cannot be pickled; `detector_.save(folder)` keeps what it has learnt.

    Args:
        epochs: number of epochs, each of 100 batches (default: as in `ganad train --data`).
        image_size: the square that images are brought to, in pixels, a multiple of 16 from 32 to
            256 (default: follows the images).
        max_false_alarms: a promised share of false alarms among normal images, in [1e-6, 0.999]
            (default: the threshold of best F1, or 0.05 with few labelled anomalies).
        validation_fraction: share of the images in `fit` that is held out of training, to choose
            score and threshold by, in [0.01, 0.5].
        random_state: of weights, held-out images, order and augmentation; 0 or above.
        settings: any other fields of `RunConfig`, such as `{"encoder": "none"}`.

    Attributes:
        detector_: the fitted `Detector`.
        classes_: [0, 1].
        threshold_: of the score; `decision_function` is above 0 where the score is greater.
    """

    def __init__(
        self,
        epochs: int | None = None,
        image_size: int | None = None,
        max_false_alarms: float | None = None,
        validation_fraction: float = 0.1,
        random_state: int = 0,
        settings: Mapping[str, Any] | None = None,
    ):
        self.epochs = epochs
        self.image_size = image_size
        self.max_false_alarms = max_false_alarms
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.settings = settings

    def fit(
        self,
        X: "np.ndarray | Sequence[np.ndarray]",
        y: "Sequence[int] | np.ndarray | None" = None,
        masks: "np.ndarray | Sequence[np.ndarray | None] | None" = None,
    ) -> "GANAnomalyDetector":
        """Trains; see `ganad_tf.train`.

        Args:
            X: uint8 [N, H, W, 3], [N, H, W, 1] or [N, H, W], or a sequence of such images.
            y: [N], 0 for normal images and 1 for anomalies; None if all are normal.
            masks: the defective pixels of each image, [H, W], where they are known.
        """
        own = {
            "epochs": self.epochs,
            "image_size": self.image_size,
            "max_false_alarms": self.max_false_alarms,
            "validation_fraction": self.validation_fraction,
            "seed": self.random_state,
        }
        settings = dict(self.settings or {})
        if twice := sorted(own.keys() & settings.keys()):
            raise UsageError(
                "settings must leave out what has an argument of its own "
                f"({', '.join(own)}, of which `random_state` is the seed). Received: {twice[0]}"
            )
        detector = train(X, y, masks, **own, **settings)
        self.detector_ = detector
        self.classes_ = np.array([0, 1])
        self.threshold_ = detector.scorer.threshold
        return self

    def score_samples(self, X: "np.ndarray | Sequence[np.ndarray]") -> np.ndarray:
        """The anomaly score, float32 [N]; see `Detector.score_samples`."""
        return self._fitted().score_samples(X)

    def decision_function(self, X: "np.ndarray | Sequence[np.ndarray]") -> np.ndarray:
        """The score minus the threshold, float32 [N]."""
        return self._fitted().decision_function(X)

    def predict(self, X: "np.ndarray | Sequence[np.ndarray]") -> np.ndarray:
        """1 for an anomaly, 0 for a normal image; int64 [N]."""
        return self._fitted().predict(X)

    def predict_proba(self, X: "np.ndarray | Sequence[np.ndarray]") -> np.ndarray:
        """Probabilities of the classes 0 and 1 where both are equally frequent, float32 [N, 2]."""
        anomalous = self._fitted().probability(X)
        return np.stack([1 - anomalous, anomalous], axis=1)

    def _fitted(self) -> Detector:
        check_is_fitted(self)
        return self.detector_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.target_tags.required = False
        return tags
