"""What the detector must beat, scored on the same split and read by the same evaluation."""

import keras
import numpy as np

from ganad_tf.baselines.autoencoder import autoencoder_errors
from ganad_tf.data.splits import Splits
from ganad_tf.scoring import best_f1_threshold, conformal_threshold
from ganad_tf.scoring.fit_scorer import default_false_alarms
from ganad_tf.settings.run_config import RunConfig


def score_baselines(config: RunConfig, splits: Splits) -> dict[str, tuple[np.ndarray, float]]:
    """Scores the test set with the two baselines of Ferrari and Enneifer.

    Args:
        config: the run's settings; the autoencoder trains on as many normal images as the GAN.
        splits: the data.

    Returns:
        Name -> (test scores [N], threshold fitted on validation images).
    """
    rng = np.random.default_rng(config.seed)
    keras.utils.set_random_seed(config.seed)
    chance = [rng.random(len(part)) for part in (splits.validation, splits.test)]
    errors = autoencoder_errors(config, splits)
    named = {"autoencoder (normal images only)": errors, "random scores": chance}
    return {
        name: (test, _threshold(validation, splits.validation.is_anomaly))
        for name, (validation, test) in named.items()
    }


def _threshold(scores: np.ndarray, is_anomaly: np.ndarray) -> float:
    if is_anomaly.any():
        return best_f1_threshold(scores, is_anomaly)
    return conformal_threshold(scores, default_false_alarms(len(scores)))
