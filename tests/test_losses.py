"""Each loss against the same formula written in plain numpy."""

import numpy as np
import pytest
import tensorflow as tf

from ganad_tf import losses
from ganad_tf.losses import Patches


@pytest.fixture
def pair(rng):
    images = rng.uniform(-1, 1, (3, 32, 32, 1)).astype(np.float32)
    return images, rng.uniform(-1, 1, images.shape).astype(np.float32)


@pytest.fixture
def judgement(rng):
    return rng.normal(size=3).astype(np.float32), rng.normal(size=(3, 4, 4)).astype(np.float32)


def naive_patch_error(image, reconstruction, patches):
    """Loops over every patch of one image, as METHOD's sentence reads."""
    errors = []
    last = image.shape[0] - patches.size
    for top in range(0, last + 1, patches.stride):
        for left in range(0, last + 1, patches.stride):
            window = np.s_[top : top + patches.size, left : left + patches.size]
            errors.append(np.abs(image[window] - reconstruction[window]).mean())
    return np.sort(errors)[-patches.largest :].mean()


def test_normal_reconstruction_is_the_mean_absolute_error(pair):
    images, reconstructions = pair
    expected = np.abs(images - reconstructions).mean(axis=(1, 2, 3))
    actual = losses.normal_reconstruction_loss(losses.pixel_errors(*pair))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_patch_loss_is_the_mean_of_the_largest_patch_errors(rng, size):
    images = rng.uniform(-1, 1, (2, size, size, 3)).astype(np.float32)
    reconstructions = rng.uniform(-1, 1, images.shape).astype(np.float32)
    patches = Patches.for_image_size(size)
    expected = [
        naive_patch_error(*both, patches) for both in zip(images, reconstructions, strict=True)
    ]
    actual = losses.patch_loss(losses.pixel_errors(images, reconstructions), patches)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_patches_are_those_of_the_sources():
    assert Patches.for_image_size(32) == Patches(size=16, stride=8, largest=3)
    assert Patches.for_image_size(128) == Patches(size=32, stride=16, largest=10)


def test_latent_loss_is_the_mean_absolute_difference_of_features(rng):
    first, second = rng.normal(size=(2, 3, 2, 2, 8)).astype(np.float32)
    expected = np.abs(first - second).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(losses.latent_loss(first, second), expected, rtol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_abc_is_the_likelihood_of_a_classifier(pair, scale):
    images, reconstructions = pair
    p_normal = np.exp(-scale * np.abs(images - reconstructions).mean(axis=(1, 2, 3)))
    actual = losses.abc_loss(losses.pixel_errors(*pair), scale)
    np.testing.assert_allclose(actual, -np.log(1 - p_normal), rtol=1e-4)


def test_abc_stays_finite_for_a_perfect_reconstruction():
    errors = tf.Variable(tf.zeros((1, 32, 32)))
    with tf.GradientTape() as tape:
        loss = losses.abc_loss(errors)
    assert np.isfinite(loss).all()
    assert np.isfinite(tape.gradient(loss, errors)).all()


def test_local_abc_is_the_likelihood_of_a_classifier_of_pixels(rng):
    errors = rng.uniform(0.05, 1, (3, 8, 8)).astype("f")
    where = (rng.random((3, 8, 8)) < 0.3).astype("f")
    d = losses.LOCAL_SCALE * errors
    anomalous = -np.log(1 - np.exp(-d - losses.MIN_LOCAL_ERROR))
    expected = [
        a[w == 1].mean() + b[w == 0].mean() for a, b, w in zip(anomalous, d, where, strict=True)
    ]
    np.testing.assert_allclose(losses.local_abc_loss(errors, where), expected, rtol=1e-4)


def test_local_abc_raises_errors_where_it_is_anomalous_and_lowers_them_elsewhere():
    errors, where = tf.Variable(tf.fill((1, 8, 8), 0.1)), np.zeros((1, 8, 8), "f")
    where[:, :3] = 1
    with tf.GradientTape() as tape:
        loss = losses.local_abc_loss(errors, where)
    gradient = tape.gradient(loss, errors).numpy()
    assert (gradient[where == 1] < 0).all()
    assert (gradient[where == 0] > 0).all()


def test_local_abc_stays_finite_without_anomalous_pixels_and_for_perfect_ones():
    errors = tf.Variable(tf.zeros((2, 8, 8)))
    where = np.stack([np.zeros((8, 8), "f"), np.ones((8, 8), "f")])
    with tf.GradientTape() as tape:
        loss = losses.local_abc_loss(errors, where)
    assert np.isfinite(loss).all()
    assert np.isfinite(tape.gradient(loss, errors)).all()


def squared(judgement, target):
    image, patches = judgement
    return ((image - target) ** 2 + ((patches - target) ** 2).mean(axis=(1, 2))) / 2


def test_adversarial_losses_pull_to_one_and_zero(judgement):
    np.testing.assert_allclose(
        losses.normal_adversarial_loss(judgement), squared(judgement, 1), rtol=1e-5
    )
    np.testing.assert_allclose(
        losses.anomaly_adversarial_loss(judgement), squared(judgement, 0), rtol=1e-5
    )


@pytest.mark.parametrize(
    "loss", [losses.normal_discriminator_loss, losses.anomaly_discriminator_loss]
)
def test_discriminators_learn_real_from_reconstructed(loss, rng):
    real = rng.normal(size=3).astype("f"), rng.normal(size=(3, 4, 4)).astype("f")
    fake = rng.normal(size=3).astype("f"), rng.normal(size=(3, 4, 4)).astype("f")
    np.testing.assert_allclose(loss(real, fake), squared(real, 1) + squared(fake, 0), rtol=1e-5)


def test_a_patch_map_weighs_as_much_as_the_image_whatever_its_size():
    """Ferrari and Enneifer summed one map and averaged the others."""
    small = losses.anomaly_adversarial_loss((np.ones(1, "f"), np.ones((1, 4, 4), "f")))
    large = losses.anomaly_adversarial_loss((np.ones(1, "f"), np.ones((1, 16, 16), "f")))
    np.testing.assert_allclose(small, large)


def test_feature_abc_is_the_likelihood_of_a_classifier(rng):
    logit = rng.normal(size=5).astype("f")
    d = np.log1p(np.exp(logit))
    np.testing.assert_allclose(losses.feature_abc_loss(logit, is_anomaly=False), d, rtol=1e-5)
    np.testing.assert_allclose(
        losses.feature_abc_loss(logit, is_anomaly=True), -np.log(1 - np.exp(-d)), rtol=1e-4
    )


def test_the_classifier_error_keeps_its_digits_far_below_zero():
    logit = np.linspace(-30, 10, 401)
    expected = np.log1p(np.exp(logit))
    actual = losses.classifier_error(tf.constant(logit, tf.float32))
    np.testing.assert_allclose(np.log(actual), np.log(expected), atol=3e-6)
