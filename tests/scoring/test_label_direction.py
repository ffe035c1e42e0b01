"""The direction to the labelled anomalies, against numpy and on data whose answer is known."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from ganad_tf.scoring.label_direction import MIN_SPREAD, SHRINKAGE, Direction


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def coordinates(direction, features):
    return direction(tf.constant(features, tf.float32)).numpy()


@pytest.mark.parametrize("labels", [1, 10])
def test_it_points_to_the_labelled_anomalies(rng, labels):
    scales = np.arange(1, 9)
    shift = np.eye(8)[7] * 8 * scales[7]
    normal, anomalous = rng.normal(size=(2, 300, 8)) * scales
    direction = Direction.fit(normal, anomalous[:labels] + shift)
    images = np.concatenate([normal, anomalous + shift])
    assert roc_auc_score(np.arange(600) >= 300, coordinates(direction, images)) > 0.97


def test_a_few_labels_give_fishers_discriminant_of_the_normal_spread(rng):
    normal = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5))
    anomalous = rng.normal(size=(MIN_SPREAD - 1, 5)) + 3
    scaled = (normal - normal.mean(0)) / normal.std(0)
    shrunk = (1 - SHRINKAGE) * np.corrcoef(normal.T) + SHRINKAGE * np.eye(5)
    difference = (anomalous.mean(0) - normal.mean(0)) / normal.std(0)
    expected = scaled @ np.linalg.inv(shrunk) @ difference
    found = coordinates(Direction.fit(normal, anomalous), normal)
    np.testing.assert_allclose(found, expected / expected.std(), rtol=1e-3, atol=1e-3)


def test_more_labels_tell_where_anomalies_vary_too_much_to_be_told_apart(rng):
    """Along the first feature normal images hardly vary, but anomalies lie on either side."""

    def anomalies(count):
        features = rng.normal(size=(count, 2)) * [50, 1] + [2, 2]
        return features

    normal, labelled = rng.normal(size=(500, 2)), anomalies(60)
    test = np.concatenate([rng.normal(size=(500, 2)), anomalies(500)])
    truth = np.arange(1000) >= 500

    def auroc(labels):
        return roc_auc_score(truth, coordinates(Direction.fit(normal, labels), test))

    assert auroc(labelled) > auroc(labelled[: MIN_SPREAD - 1]) + 0.2


def test_the_same_labels_give_the_same_direction(rng):
    normal, anomalous = rng.normal(size=(100, 4)), rng.normal(size=(40, 4)) + 1
    first, second = Direction.fit(normal, anomalous), Direction.fit(normal, anomalous)
    np.testing.assert_array_equal(first.weights, second.weights)


def test_far_away_labels_still_give_finite_coordinates(rng):
    normal = rng.normal(size=(24, 40)).astype(np.float32)
    direction = Direction.fit(normal, normal[:1] + 1e4)
    found = coordinates(direction, np.concatenate([normal, -normal + 1e4]))
    assert np.isfinite(found).all()
    assert found[:24].std() == pytest.approx(1, rel=0.01)


def test_constant_features_do_not_divide_by_zero(rng):
    normal = np.concatenate([rng.normal(size=(50, 3)), np.ones((50, 2))], axis=1)
    for anomalous in (normal[:1], normal[:30], np.zeros((30, 5))):
        assert np.isfinite(Direction.fit(normal, anomalous).weights).all()


def test_it_is_kept_in_arrays_which_earlier_runs_had_fewer_of(rng):
    direction = Direction.fit(rng.normal(size=(30, 4)), rng.normal(size=(3, 4)), of_whole=True)
    arrays = direction.to_arrays()
    assert Direction.from_arrays(arrays).of_whole
    del arrays["of_whole"]
    earlier = Direction.from_arrays(arrays)
    assert not earlier.of_whole
    np.testing.assert_array_equal(earlier.weights, direction.weights)
