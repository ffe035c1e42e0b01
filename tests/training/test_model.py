"""Which network learns from which loss, and that a step does what it says."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.settings.loss_weights import LossWeights
from ganad_tf.synthesis.augmentation import Augmentation
from ganad_tf.synthesis.training_images import TrainingImages
from ganad_tf.training.model import DualDiscriminatorGAN
from ganad_tf.training.validation import ValidationScore

NOTHING = LossWeights(**{field.name: 0.0 for field in dataclasses.fields(LossWeights)})


def compiled(weights=None, **kwargs):
    model = DualDiscriminatorGAN(width=2, discriminator_width=2, **kwargs)
    model.compile(*(keras.optimizers.Adam(1e-3, 0.5) for _ in range(3)), loss_weights=weights)
    return model


@pytest.fixture
def batch(rng):
    images = rng.integers(0, 256, (2, 4, 28, 28, 1), dtype=np.uint8)
    return {"normal": tf.constant(images[0]), "anomaly": tf.constant(images[1])}


def moved(network, before):
    return any(np.any(a != b) for a, b in zip(network.get_weights(), before, strict=True))


def largest_trained_move(network, before):
    after = [weight.numpy() for weight in network.trainable_variables]
    return max(np.abs(a - b).max() for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize(
    "name",
    [
        "normal_reconstruction",
        "patch",
        "latent",
        "normal_adversarial",
        "abc",
        "anomaly_adversarial",
        "feature_abc",
    ],
)
def test_each_generator_loss_alone_moves_the_generator_and_no_discriminator(name, batch):
    model = compiled(dataclasses.replace(NOTHING, **{name: 1.0}))
    generator = [weight.numpy() for weight in model.generator.trainable_variables]
    normal = model.normal_discriminator.get_weights()
    anomaly = model.anomaly_discriminator.get_weights()
    model.train_step(batch)
    assert largest_trained_move(model.generator, generator) > 0
    assert not moved(model.normal_discriminator, normal)
    assert not moved(model.anomaly_discriminator, anomaly)


@pytest.mark.parametrize("name", ["normal_discriminator", "anomaly_discriminator"])
def test_each_discriminator_loss_moves_its_discriminator_alone(name, batch):
    model = compiled(dataclasses.replace(NOTHING, **{name: 1.0}))
    other = {"normal_discriminator": "anomaly", "anomaly_discriminator": "normal"}[name]
    others = getattr(model, f"{other}_discriminator")
    own, theirs = getattr(model, name), others.get_weights()
    before = own.get_weights()
    generator = [weight.numpy() for weight in model.generator.trainable_variables]
    model.train_step(batch)
    assert moved(own, before)
    assert not moved(others, theirs)
    assert largest_trained_move(model.generator, generator) == 0


@pytest.mark.parametrize("name", ["patch", "abc"])
def test_gradients_reach_the_first_and_the_last_layer(name, batch):
    """Earlier code rebuilt the patch loss from numbers and took ABC through math.log."""
    model = compiled()
    images = tf.concat([batch["normal"], batch["anomaly"]], axis=0)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model._loss_values(images, 4)[name])
    first, last = model.generator.down[0].convolution, model.generator.output_step.convolution
    gradients = tape.gradient(loss, [first.kernel, last.kernel])
    assert all(g is not None and np.abs(g).max() > 0 for g in gradients)


def test_the_latent_loss_compares_features_not_images(batch):
    model = compiled()
    images = tf.concat([batch["normal"], batch["anomaly"]], axis=0)
    values = model._loss_values(images, 4)
    x = tf.cast(images, tf.float32) * (2 / 255) - 1
    x = tf.pad(x, [[0, 0], [2, 2], [2, 2], [0, 0]], constant_values=-1)
    reconstruction, features, _ = model.generator(x, training=True)
    again = model.generator.encode(reconstruction[:4], training=False)
    expected = np.abs(features[:4] - again).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(values["latent"], expected, rtol=1e-4)


def test_the_average_follows_the_generator(batch):
    model = compiled(average_momentum=0.5)
    before = model.averaged_generator.get_weights()
    model.train_step(batch)
    # At step 1 the warm-up keeps (1 + 1) / (10 + 1) of the old average.
    momentum = 2 / 11
    for old, new, current in zip(
        before, model.averaged_generator.get_weights(), model.generator.get_weights(), strict=True
    ):
        np.testing.assert_allclose(new, momentum * old + (1 - momentum) * current, atol=1e-6)


def test_local_defects_are_learnt_in_their_place_and_other_anomalies_as_a_whole(batch):
    weights = dataclasses.replace(NOTHING, local_abc=1.0)
    for kind, learns in (("local_defect", True), ("rotate", False)):
        made = TrainingImages(synthetic_share=1.0, synthetic_kinds=(kind,))
        model = compiled(weights, training_images=made)
        before = [weight.numpy() for weight in model.generator.trainable_variables]
        logs = model.train_step(batch)
        assert (largest_trained_move(model.generator, before) > 0) == learns
        assert (float(logs["local_abc"]) > 0) == learns
        assert (float(logs["abc"]) > 0) != learns


def test_masked_anomalies_are_learnt_in_their_place(batch):
    masks = np.zeros((4, 28, 28, 1), np.uint8)
    masks[:3, 4:9, 4:9] = 255
    masks[3] = 255  # unknown
    logs = compiled().train_step({**batch, "mask": tf.constant(masks)})
    assert float(logs["local_abc"]) > 0
    assert float(logs["abc"]) > 0


def test_validation_changes_nothing(batch):
    model = compiled()
    before = model.get_weights()
    ValidationScore(model)(batch["normal"].numpy())
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_saved_model_comes_back_with_all_three_optimizers(batch, tmp_path):
    model = compiled(LossWeights(abc=0.7))
    model.fit(tf.data.Dataset.from_tensors(batch).repeat(2), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for name in ("optimizer", "normal_optimizer", "anomaly_optimizer"):
        state = zip(getattr(model, name).variables, getattr(loaded, name).variables, strict=True)
        for ours, theirs in state:
            np.testing.assert_array_equal(ours, theirs)
    assert loaded.weights_of_losses == LossWeights(abc=0.7)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_with_float32_losses_and_scaled_gradients(precision, batch):
    model = compiled(dtype=precision)
    values = model.fit(tf.data.Dataset.from_tensors(batch).repeat(2), verbose=0).history
    assert all(np.isfinite(value).all() for value in values.values())
    reconstruction, _, _ = model(tf.zeros((1, 32, 32, 1)))
    assert reconstruction.dtype == tf.float32
    scaled = isinstance(model.normal_optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (precision == "mixed_float16")


def test_the_training_images_come_back_with_the_model():
    made = TrainingImages(Augmentation(flip=False, shift=2, rotation=True), 0.5, ("paste",))
    model = compiled(training_images=made, seed=3)
    again = DualDiscriminatorGAN.from_config(model.get_config())
    assert again.training_images == made
    assert again.seed == 3


def test_a_config_of_format_1_is_read():
    config = compiled().get_config()
    del config["training_images"]
    old = {
        "augmentation": {"flip": True, "shift": 1, "turn": True},
        "synthetic_share": 0.9,
        "synthetic_kinds": ["turn", "blot"],
    }
    again = DualDiscriminatorGAN.from_config({**config, **old})
    expected = TrainingImages(Augmentation(rotation=True), 0.9, ("rotate", "local_defect"))
    assert again.training_images == expected


def test_a_share_beyond_the_whole_is_refused():
    with pytest.raises(ValueError, match="synthetic_share"):
        TrainingImages(synthetic_share=1.5)
