"""What each network descends."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ganad_tf import losses
from ganad_tf.networks import Discriminator, Generator
from ganad_tf.settings.loss_weights import LossWeights
from ganad_tf.training.objectives import (
    DISCRIMINATOR_LOSSES,
    GENERATOR_LOSSES,
    Networks,
    loss_values,
    weighted_objectives,
)

NAMES = (*GENERATOR_LOSSES, *DISCRIMINATOR_LOSSES)


@pytest.fixture
def networks():
    networks = Networks(Generator(width=2), Discriminator(width=2), Discriminator(width=2))
    for network in networks:
        network.build()
    return networks


@pytest.fixture
def images(rng):
    return tf.constant(rng.uniform(-1, 1, (5, 32, 32, 1)), tf.float32)


def test_every_loss_has_a_weight():
    assert {field.name for field in dataclasses.fields(LossWeights)} == set(NAMES)


def test_each_loss_has_a_value_for_each_image_that_it_is_about(networks, images):
    values = loss_values(networks, images, 3, None, 1.0)
    counts = {name: len(value) for name, value in values.items()}
    about_anomalies = dict.fromkeys(
        ("abc", "local_abc", "anomaly_adversarial", "anomaly_discriminator"), 2
    )
    assert counts == {**dict.fromkeys(NAMES, 3), **about_anomalies, "feature_abc": 5}


def test_objectives_are_weighted_sums_of_means():
    values = {name: tf.constant([1.0, 3.0]) * number for number, name in enumerate(NAMES, 1)}
    weights = LossWeights(**{name: 10.0**-number for number, name in enumerate(NAMES)})
    generator, normal, anomaly = weighted_objectives(values, weights)
    expected = sum(2 * (n + 1) * 10.0**-n for n in range(len(GENERATOR_LOSSES)))
    np.testing.assert_allclose(generator, expected, rtol=1e-6)
    np.testing.assert_allclose(normal, 2 * 9 * 1e-8, rtol=1e-6)
    np.testing.assert_allclose(anomaly, 2 * 10 * 1e-9, rtol=1e-6)


def test_a_local_defect_counts_in_its_place_and_other_anomalies_as_a_whole(networks, images):
    masks = np.ones((2, 32, 32), np.float32)
    masks[0] = 0
    masks[0, 4:9, 4:9] = 1
    values = loss_values(networks, images, 3, tf.constant(masks), 2.0)
    reconstructions, _, _ = networks.generator(images, training=True)
    errors = losses.pixel_errors(images, reconstructions)[3:]
    local = losses.local_abc_loss(errors, masks)
    whole = losses.abc_loss(errors, 2.0)
    np.testing.assert_allclose(values["local_abc"], [local[0], 0], rtol=1e-5)
    np.testing.assert_allclose(values["abc"], [0, whole[1]], rtol=1e-5)


def test_without_masks_all_anomalies_count_as_a_whole(networks, images):
    values = loss_values(networks, images, 3, None, 1.0)
    np.testing.assert_array_equal(values["local_abc"], [0, 0])
    assert (values["abc"].numpy() > 0).all()
