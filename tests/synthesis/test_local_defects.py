import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.synthesis.local_defects import MIN_CHANGE, local_defect

SEED = tf.constant([3, 4])


@pytest.fixture(params=[1, 3])
def images(request, rng):
    return tf.constant(rng.integers(60, 190, (64, 48, 48, request.param), dtype=np.uint8))


def test_only_what_is_marked_is_noticeably_changed(images):
    made, masks = (result.numpy() for result in local_defect(images, SEED))
    assert (made.shape, made.dtype) == (images.shape, np.uint8)
    assert (masks.shape, masks.dtype) == ((64, 48, 48, 1), np.uint8)
    assert set(np.unique(masks)) == {0, 255}
    change = np.abs(made.astype(int) - images.numpy()).mean(axis=3)
    marked = masks[..., 0] == 255
    assert change[marked].mean() > 3 * MIN_CHANGE
    # Soft edges are changed and not marked; nothing far from them is.
    assert change[~marked].mean() < 1


def test_defects_are_of_many_sizes_and_most_can_be_seen(images):
    shares = (local_defect(images, SEED)[1].numpy() == 255).mean(axis=(1, 2, 3))
    assert (shares > 0).mean() > 0.85
    assert shares.max() < 0.4
    assert np.quantile(shares, 0.9) > 5 * np.quantile(shares[shares > 0], 0.1)


def test_defects_depend_on_their_seed_alone(images):
    made, masks = local_defect(images, SEED)
    again, masks_again = local_defect(images, SEED)
    np.testing.assert_array_equal(made, again)
    np.testing.assert_array_equal(masks, masks_again)
    assert (made.numpy() != local_defect(images, SEED + 1)[0].numpy()).any()
