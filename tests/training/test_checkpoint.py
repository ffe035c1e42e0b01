"""Weights and optimizers come back whole, or not at all."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.errors import ArtefactError
from ganad_tf.training.checkpoint import load_weights, save_weights
from ganad_tf.training.model import DualDiscriminatorGAN


def compiled(precision="float32"):
    model = DualDiscriminatorGAN(width=2, discriminator_width=2, dtype=precision)
    model.compile(*(keras.optimizers.Adam(1e-3, 0.5) for _ in range(3)))
    return model


@pytest.fixture
def checkpoint(rng, tmp_path):
    model, path = compiled(), tmp_path / "checkpoint.weights.h5"
    images = tf.constant(rng.integers(0, 256, (4, 28, 28, 1), dtype=np.uint8))
    model.train_step({"normal": images, "anomaly": images})
    save_weights(model, path)
    return model, path


def test_the_optimizers_go_on_where_they_were(checkpoint):
    trained, path = checkpoint
    model = compiled()
    load_weights(model, path)
    for name in ("optimizer", "normal_optimizer", "anomaly_optimizer"):
        assert int(getattr(model, name).iterations) == 1
        state = zip(getattr(model, name).variables, getattr(trained, name).variables, strict=True)
        for ours, theirs in state:
            np.testing.assert_array_equal(ours, theirs)


def test_optimizers_of_another_precision_are_refused(checkpoint):
    _, path = checkpoint
    with pytest.raises(ArtefactError, match=r"h5: expected weights of this run.*Skipping variable"):
        load_weights(compiled("mixed_float16"), path)
