"""Simpler models, scored on the same split and measured in the same way."""

import dataclasses

import keras
import numpy as np

from ganad_tf.baselines.autoencoder import autoencoder_errors
from ganad_tf.data.splits import Splits
from ganad_tf.evaluation.test_set import Scored
from ganad_tf.plan import Plan
from ganad_tf.scoring import choose_threshold
from ganad_tf.settings.run_config import RunConfig


def score_baselines(config: RunConfig, plan: Plan, splits: Splits) -> dict[str, Scored]:
    """Scores the test set with the two baselines of Ferrari and Enneifer.

    Args:
        config: the run's settings; the autoencoder trains on as many normal images as the GAN.
        plan: of the run; the baselines' thresholds follow the same rule as ours.
        splits: the data.

    Returns:
        Name -> test scores and the threshold fitted on validation images.
    """
    rng = np.random.default_rng(config.seed)
    keras.utils.set_random_seed(config.seed)
    chance = [rng.random(len(part)) for part in (splits.validation, splits.test)]
    errors = autoencoder_errors(dataclasses.replace(config, image_size=plan.generator_size), splits)
    named = {"autoencoder (normal images only)": errors, "random scores": chance}
    is_anomaly = splits.validation.is_anomaly
    return {
        name: Scored(test, choose_threshold(validation, is_anomaly, plan.max_false_alarms).value)
        for name, (validation, test) in named.items()
    }
