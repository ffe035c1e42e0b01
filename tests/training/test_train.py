"""What a configuration makes of the model."""

import dataclasses

import numpy as np
import pytest

from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.errors import UsageError
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.training.train import build_model, learnt_from

SMALL = {"width": 2, "discriminator_width": 2}


def test_only_what_has_no_top_is_turned():
    assert not build_model(RunConfig(data="photos", **SMALL), 1).augmentation.turn
    assert build_model(RunConfig(data="photos", turn=True, **SMALL), 1).augmentation.turn
    with pytest.raises(UsageError, match="--turn makes turned images normal"):
        RunConfig(turn=True)


def test_where_all_anomalies_are_synthetic_none_is_made_from_a_labelled_one():
    kinds = np.array([0, 1, 0, 2, 0])
    pixels = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 1), np.uint8)
    images = LabelledImages(pixels, kinds, ("good", "hole", "stain"), frozenset([0]))
    splits = Splits(images, images, images, "good", "seen", "0" * 64)
    assert learnt_from(splits, RunConfig(data="photos")) is splits
    without = learnt_from(splits, RunConfig(data="photos", synthetic=1.0))
    assert without.train.images[:][:, 0, 0, 0].tolist() == [0, 2, 4]
    assert not without.train.is_anomaly.any()
    assert without.validation is without.test is images
    unlabelled = dataclasses.replace(splits, train=without.train, protocol="none")
    assert learnt_from(unlabelled, RunConfig(protocol="none")) is unlabelled
