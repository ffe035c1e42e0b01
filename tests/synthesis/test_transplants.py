"""A labelled defect comes whole into another image, and its place with it."""

import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.synthesis.transplants import MAX_SCALE, transplant

SEED = tf.constant([3, 4])
SIDE, BACKGROUND, DEFECT = 48, 100, 220


@pytest.fixture(params=[1, 3])
def case(request, rng):
    """Images of shades 10 to 29, donors of one shade with a defect, 6 x 18 pixels, of another."""
    shape = (32, SIDE, SIDE, request.param)
    images = rng.integers(10, 30, shape, dtype=np.uint8)
    donors, masks = np.full(shape, BACKGROUND, np.uint8), np.zeros((*shape[:3], 1), np.uint8)
    donors[:, 14:20, 16:34] = DEFECT
    masks[:, 14:20, 16:34] = 255
    return images, donors, masks


def run(case, seed=SEED):
    return tuple(result.numpy() for result in transplant(*map(tf.constant, case), seed))


def test_the_defect_is_where_it_is_said_to_be(case):
    images = case[0]
    made, place = run(case)
    assert (made.shape, made.dtype) == (images.shape, np.uint8)
    assert set(np.unique(place)) == {0, 255}
    # Between defect and background at the very edge, by interpolation.
    assert (made[place[..., 0] == 255] >= (BACKGROUND + DEFECT) // 2 - 1).all()
    for number in range(len(images)):
        assert (made[number] == DEFECT).sum() > 0.5 * (place[number] == 255).sum()


def test_the_rest_is_the_image_but_for_a_soft_edge(case):
    images = case[0]
    made, place = run(case)
    near = tf.nn.max_pool2d(tf.cast(place, tf.float32), 3, 1, "SAME").numpy()[..., 0] > 0
    np.testing.assert_array_equal(made[~near], images[~near])
    edge = near & (place[..., 0] == 0)
    assert (made[edge] > images[edge]).any()


def test_defects_come_in_other_sizes_and_places(case):
    _, place = run(case)
    area = (place == 255).sum(axis=(1, 2, 3)) / (6 * 18)
    assert MAX_SCALE**-2 - 0.1 < area.min() < 0.8
    assert 1.3 < area.max() < MAX_SCALE**2 + 0.1
    assert len(np.unique(place.reshape(len(place), -1), axis=0)) == len(place)


def test_defects_at_the_edge_are_not_lost():
    donors, masks = np.full((64, 32, 32, 1), 50, np.uint8), np.zeros((64, 32, 32, 1), np.uint8)
    masks[:, :6, :6] = 255
    _, place = run((donors, donors, masks))
    assert ((place == 255).sum(axis=(1, 2, 3)) > 36 / MAX_SCALE**2 * 0.5).all()


def test_donors_that_may_be_anomalous_everywhere_stay_as_they_are(case):
    images, donors, masks = case
    masks[:8] = 255
    made, place = run((images, donors, masks))
    np.testing.assert_array_equal(made[:8], donors[:8])
    assert (place[:8] == 255).all()
    assert (made[8:] != donors[8:]).any(axis=(1, 2, 3)).all()


def test_a_donor_whose_defect_would_be_lost_stays_as_it_is():
    images, masks = np.full((64, 32, 32, 1), 50, np.uint8), np.zeros((64, 32, 32, 1), np.uint8)
    masks[:, 12, 20] = 255
    donors = np.where(masks > 0, np.uint8(220), np.uint8(80))
    made, place = run((images, donors, masks))
    assert (place == 255).any(axis=(1, 2, 3)).all()
    kept = (made == donors).all(axis=(1, 2, 3))
    assert 0 < kept.sum() < 64  # others were pasted
    np.testing.assert_array_equal(place[kept], masks[kept])


def test_the_seed_decides(case):
    made, place = run(case)
    again, place_again = run(case)
    np.testing.assert_array_equal(made, again)
    np.testing.assert_array_equal(place, place_again)
    assert (run(case, SEED + 1)[0] != made).any()
