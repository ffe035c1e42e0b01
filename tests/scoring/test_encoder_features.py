"""Frozen features: what is fitted to them, against numpy."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.networks import Generator, load_efficientnet_lite0
from ganad_tf.plan import Plan
from ganad_tf.scoring import Detector, fit_detector, fit_encoder
from ganad_tf.scoring.encoder_features import Whitening
from ganad_tf.scoring.feature_distance import largest_mean, nearest_distances
from ganad_tf.scoring.fit_encoder import fit_encoder_features
from ganad_tf.settings.run_config import RunConfig


def test_whitened_lengths_are_mahalanobis_distances_of_the_shrunk_correlation(rng):
    features = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)) + 3
    whitening = Whitening.fit(features, 0.1)
    scaled = (features - features.mean(0)) / features.std(0)
    inverse = np.linalg.inv(0.9 * np.corrcoef(features.T) + 0.1 * np.eye(6))
    expected = np.sqrt(np.einsum("ni,ij,nj->n", scaled, inverse, scaled))
    np.testing.assert_allclose(np.linalg.norm(whitening(features), axis=1), expected, rtol=1e-3)


def test_a_lower_rank_keeps_the_directions_of_largest_variance(rng):
    features = rng.normal(size=(500, 1)) @ np.ones((1, 5)) + 0.1 * rng.normal(size=(500, 5))
    whitening = Whitening.fit(features, 0.1, rank=1)
    direction = whitening.projection[:, 0] * features.std(0)
    assert np.abs(direction / direction[0] - 1).max() < 0.05


def test_constant_features_do_not_divide_by_zero(rng):
    features = np.concatenate([rng.normal(size=(50, 3)), np.ones((50, 2))], axis=1)
    assert np.isfinite(Whitening.fit(features, 0.1)(features)).all()
    assert np.isfinite(Whitening.fit(np.ones((5, 3)), 0.1)(np.ones((5, 3)))).all()


def test_the_mean_of_the_most_unusual_places(rng):
    places = rng.random((3, 10, 10)).astype(np.float32)
    expected = np.sort(places.reshape(3, -1), axis=1)[:, -10:].mean(axis=1)
    np.testing.assert_allclose(largest_mean(tf.constant(places), 0.1), expected, rtol=1e-6)


def test_a_distance_to_a_prototype_itself_does_not_depend_on_the_batch(rng):
    """Differences of nearly equal numbers would round by the row's position in the batch."""
    prototypes = (5 + 50 * rng.normal(size=(64, 96))).astype(np.float32)
    rows = np.concatenate([prototypes, rng.normal(size=(37, 96)).astype(np.float32)])
    together = np.log(nearest_distances(tf.constant(rows), prototypes, 1))
    for number, row in enumerate(rows):
        alone = np.log(nearest_distances(tf.constant(row[None]), prototypes, 1))
        np.testing.assert_allclose(alone, together[number : number + 1], atol=1e-3)


def labelled(rng, count, anomalies):
    images = rng.integers(60, 90, (count, 64, 64, 1), dtype=np.uint8)
    images[:anomalies, 20:40, 20:40] = 250
    kinds = (np.arange(count) < anomalies).astype(np.int64)
    return LabelledImages(images, kinds, ("good", "bad"), frozenset({0}))


@pytest.fixture(scope="module")
def detector():
    rng = np.random.default_rng(0)
    generator = Generator(32, 1, width=2)
    generator.build()
    parts = (labelled(rng, 26, 2), labelled(rng, 12, 0), labelled(rng, 12, 6))
    splits = Splits(*parts, "good", "seen", "0" * 64)
    plan = Plan(
        encoder="efficientnet_lite0",
        encoder_size=64,
        score="pretrained",
        n_labelled=2,
        generator_size=32,
    )
    config = RunConfig(data="photos", score="pretrained")
    plan, encoder = fit_encoder(config, plan, splits, load_efficientnet_lite0())
    assert plan.shares
    return fit_detector(generator, splits, plan, encoder), splits


def test_unusual_images_score_higher(detector):
    fitted, splits = detector
    scores = fitted.run(splits.test.images)["score"]
    assert scores[:6].min() > scores[6:].max()


def test_the_map_shows_the_place_at_full_resolution(detector):
    fitted, splits = detector
    heat = fitted.run(splits.test.images[:1], outputs=("anomaly_map",))["anomaly_map"][0]
    assert heat.shape == (64, 64)
    inside = np.zeros((64, 64), bool)
    inside[20:40, 20:40] = True
    near = ndimage.binary_dilation(inside, iterations=4)
    assert near.ravel()[heat.argmax()]
    assert heat[inside].mean() > 1.2 * heat[~inside].mean()


def test_scores_do_not_depend_on_neighbours_not_even_those_of_training_images(detector):
    fitted, splits = detector
    images = np.concatenate([splits.train.images, np.zeros((2, 64, 64, 1), np.uint8)])
    together = fitted.run(images)["score"]
    alone = np.concatenate([fitted.run(image[None])["score"] for image in images])
    np.testing.assert_allclose(alone, together, atol=1e-4)


def test_a_saved_detector_brings_its_encoder_along(detector, tmp_path):
    fitted, splits = detector
    fitted.save(tmp_path / "detector")
    loaded = Detector.load(tmp_path)
    np.testing.assert_array_equal(
        loaded.run(splits.test.images)["score"], fitted.run(splits.test.images)["score"]
    )


@pytest.mark.parametrize("n_labelled", [0, 1])
def test_equal_normal_images_give_finite_scores_and_the_odd_one_stands_out(n_labelled):
    images = np.full((8, 64, 64, 1), 90, np.uint8)
    odd = images.copy()
    odd[:4, 20:40, 20:40] = 250

    def part(pixels, anomalies):
        kinds = (np.arange(len(pixels)) < anomalies).astype(np.int64)
        return LabelledImages(pixels[: len(kinds)], kinds, ("good", "bad"), frozenset({0}))

    splits = Splits(part(odd[3:], n_labelled), part(images, 0), part(odd, 4), "good", "seen", "")
    if not n_labelled:
        splits = dataclasses.replace(splits, train=part(images, 0))
    generator = Generator(32, 1, width=2)
    generator.build()
    plan = Plan(
        encoder="efficientnet_lite0",
        encoder_size=64,
        fallback_score="pretrained",
        all_kinds_known=False,
        n_labelled=n_labelled,
        generator_size=32,
    )
    config = RunConfig(data="photos")
    plan, encoder = fit_encoder(config, plan, splits, load_efficientnet_lite0())
    scores = fit_detector(generator, splits, plan, encoder).run(splits.test.images)["score"]
    assert np.isfinite(scores).all()
    assert scores[:4].min() > scores[4:].max()


def test_heat_maps_are_relative_to_what_is_usual_at_each_place(detector, rng):
    """Frames that differ from image to image lie far from most places, in normal images too."""
    normals = rng.integers(60, 90, (40, 64, 64, 1), dtype=np.uint8)
    normals[:, :, :8] = rng.integers(0, 256, (40, 64, 8, 1))
    train = LabelledImages(normals, np.zeros(40, np.int64), ("good",), frozenset({0}))
    encoder = detector[0].measurer.encoder.encoder
    fitted = fit_encoder_features(encoder, train, np.arange(20), 64, 0)
    wanted = ("encoder_patches", "encoder_details")
    plain = dataclasses.replace(fitted, usual={})
    values, relative = fitted.measure(tf.constant(normals[20:]), wanted)
    same, absolute = plain.measure(tf.constant(normals[20:]), wanted)
    for name in wanted:
        np.testing.assert_array_equal(values[name], same[name])
        assert fitted.usual[name].mean() == pytest.approx(1, abs=1e-5)
        spread = [np.std(np.mean(maps[name], axis=0)) for maps in (relative, absolute)]
        assert spread[0] < 0.5 * spread[1]
    copy = type(fitted).from_arrays(encoder, fitted.to_arrays())
    for name in wanted:
        np.testing.assert_array_equal(copy.usual[name], fitted.usual[name])


def test_whole_images_are_seen_at_their_own_size(detector, rng):
    normals = rng.integers(60, 90, (40, 64, 64, 1), dtype=np.uint8)
    train = LabelledImages(normals, np.zeros(40, np.int64), ("good",), frozenset({0}))
    encoder = detector[0].measurer.encoder.encoder
    wanted = ("encoder_features", "encoder_patches")
    images = tf.constant(normals[30:])
    small, large, both = (
        fit_encoder_features(encoder, train, np.arange(30), size, 0, whole).measure(images, wanted)
        for size, whole in ((32, None), (64, None), (64, 32))
    )
    np.testing.assert_allclose(both[0]["encoder_features"], small[0]["encoder_features"], rtol=1e-5)
    np.testing.assert_array_equal(both[0]["encoder_patches"], large[0]["encoder_patches"])
    assert both[1]["encoder_patches"].shape == large[1]["encoder_patches"].shape


def test_runs_before_there_were_two_sizes_see_everything_at_one(detector):
    features = detector[0].measurer.encoder
    arrays = features.to_arrays()
    del arrays["whole_size"]
    assert type(features).from_arrays(features.encoder, arrays).whole_size == features.image_size
