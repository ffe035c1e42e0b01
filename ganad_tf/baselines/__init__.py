"""Simpler models, scored on the same split and measured in the same way."""

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from ganad_tf.baselines.autoencoder import autoencoder_errors
from ganad_tf.baselines.neighbours import neighbours_on_features, neighbours_on_pixels
from ganad_tf.calibration.thresholds import choose_threshold, kept_rate
from ganad_tf.data.splits import Splits
from ganad_tf.evaluation.test_set import Scored
from ganad_tf.plan import Plan
from ganad_tf.scoring.encoder_features import EncoderFeatures
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
    config = dataclasses.replace(config, image_size=plan.generator_size, epochs=plan.epochs)
    errors = autoencoder_errors(config, splits)
    named = {"autoencoder (normal images only)": errors, "random scores": chance}
    return _scored(named, plan, splits)


def score_neighbours(
    plan: Plan, splits: Splits, encoder: EncoderFeatures | None
) -> dict[str, Scored]:
    """Scores the test set with plain nearest neighbours, which every model has to beat.

    Args:
        plan: of the run.
        splits: the data; labels are ignored.
        encoder: whose frozen features are compared, too; None for pixels alone.

    Returns:
        Name -> test scores and the threshold fitted on validation images.
    """
    named = {"3 neighbours on pixels": neighbours_on_pixels(splits, plan.seed)}
    if encoder is not None:
        name = f"3 neighbours on features of {plan.encoder}"
        named[name] = neighbours_on_features(splits, encoder, plan.seed)
    return _scored(named, plan, splits)


def _scored(
    named: Mapping[str, Sequence[np.ndarray]], plan: Plan, splits: Splits
) -> dict[str, Scored]:
    """Adds thresholds, by the rule that is also ours, to (validation, test) scores.

    Ours may rest on training images, too, and so promise a lower rate than validation images can.
    """
    is_anomaly = splits.validation.is_anomaly
    rate = kept_rate(int(np.count_nonzero(~is_anomaly)), plan.max_false_alarms)
    return {
        name: Scored(test, choose_threshold(validation, is_anomaly, rate).value)
        for name, (validation, test) in named.items()
    }
