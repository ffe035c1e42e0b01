"""A labelled defect comes whole into another image, and its place with it."""

import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.data.transplants import transplant

SEED = tf.constant([3, 4])
SIDE, EVERYWHERE = 32, 255


@pytest.fixture(params=[1, 3])
def case(request, rng):
    """Images of shades 10 to 29, donors of shade 100 with a defect of 200 and more."""
    shape = (16, SIDE, SIDE, request.param)
    images = rng.integers(10, 30, shape, dtype=np.uint8)
    donors, where = np.full(shape, 100, np.uint8), np.zeros((*shape[:3], 1), np.uint8)
    donors[:, 4:9, 6:18] = rng.integers(200, 256, (16, 5, 12, request.param))
    where[:, 4:9, 6:18] = 255
    return images, donors, where


def run(case, seed=SEED):
    return (result.numpy() for result in transplant(*map(tf.constant, case), seed))


def test_the_defect_is_whole_and_where_it_is_said_to_be(case):
    images, donors, where = case
    made, place = run(case)
    inside = place[..., 0] == 255
    assert (made[inside] >= 200).all()
    for number in range(len(images)):
        expected, found = donors[number][where[number, ..., 0] == 255], made[number][inside[number]]
        np.testing.assert_array_equal(np.sort(found, axis=0), np.sort(expected, axis=0))


def test_the_rest_is_the_image_but_for_a_soft_edge(case):
    images = case[0]
    made, place = run(case)
    near = tf.nn.max_pool2d(tf.cast(place, tf.float32), 3, 1, "SAME").numpy()[..., 0] > 0
    np.testing.assert_array_equal(made[~near], images[~near])
    edge = near & (place[..., 0] == 0)
    assert (made[edge] < 100).all()  # of the donor's own background, some enters; not of the defect
    assert (made[edge] > images[edge]).any()


def test_it_comes_to_different_places_turned_and_mirrored(case):
    _, place = run(case)
    assert len(np.unique(place.reshape(len(place), -1), axis=0)) == len(place)
    tall = [np.ptp(np.nonzero(np.roll(p, -p.any((1, 2)).argmin(), 0))[0]) for p in place]
    assert len(set(tall)) > 1


def test_donors_that_may_be_anomalous_everywhere_stay_as_they_are(case):
    images, donors, where = case
    where[:8] = EVERYWHERE
    made, place = run((images, donors, where))
    np.testing.assert_array_equal(made[:8], donors[:8])
    assert (place[:8] == EVERYWHERE).all()
    assert (made[8:] != donors[8:]).any(axis=(1, 2, 3)).all()


def test_the_seed_decides(case):
    made, place = run(case)
    again, place_again = run(case)
    np.testing.assert_array_equal(made, again)
    np.testing.assert_array_equal(place, place_again)
    assert (next(run(case, SEED + 1)) != made).any()
