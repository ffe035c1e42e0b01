import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.synthesis.whole_image import cut_and_paste, rotate, shuffle

SEED = tf.constant([1, 2])


@pytest.fixture
def images(rng):
    return tf.constant(rng.integers(0, 256, (24, 30, 30, 3), dtype=np.uint8))


@pytest.mark.parametrize("make", [rotate, shuffle, cut_and_paste])
def test_anomalies_differ_from_their_images_and_repeat_with_the_seed(make, images):
    made = make(images, SEED)
    assert (made.shape, made.dtype) == (images.shape, images.dtype)
    changed = (made.numpy() != images.numpy()).any(axis=(1, 2, 3))
    assert changed.all()
    np.testing.assert_array_equal(made, make(images, SEED))
    assert (made.numpy() != make(images, SEED + 1).numpy()).any()


@pytest.mark.parametrize("make", [rotate, shuffle])
def test_rotating_and_shuffling_move_pixels_and_invent_none(make, images):
    def sorted_pixels(values):
        return np.sort(values.numpy().reshape(len(values), -1), axis=1)

    np.testing.assert_array_equal(sorted_pixels(make(images, SEED)), sorted_pixels(images))


def test_a_rotated_image_is_never_the_original(images):
    for image, rotated in zip(images.numpy(), rotate(images, SEED).numpy(), strict=True):
        assert any(np.array_equal(rotated, np.rot90(image, k)) for k in (1, 2, 3))


def test_a_pasted_piece_covers_a_part_only(images):
    changed = (cut_and_paste(images, SEED).numpy() != images.numpy()).any(axis=3).mean(axis=(1, 2))
    assert changed.min() > 1 / 20
    assert changed.max() < 2 / 3
