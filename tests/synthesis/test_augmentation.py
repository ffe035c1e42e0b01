"""Each image is augmented by itself, the same way for the same seed."""

import numpy as np
import tensorflow as tf

from ganad_tf.synthesis.augmentation import Augmentation

SEED = tf.constant([3, 4])


def pictures(count=64, size=8):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 1), dtype=np.uint8)


def test_images_are_rotated_by_all_four_angles():
    images = pictures()
    rotated = Augmentation(flip=False, shift=0, rotation=True)(images, SEED).numpy()
    found = set()
    for image, result in zip(images, rotated, strict=True):
        (quarters,) = [n for n in range(4) if np.array_equal(np.rot90(image, n), result)]
        found.add(quarters)
    assert found == {0, 1, 2, 3}


def test_the_seed_decides():
    augment = Augmentation(rotation=True)
    images = pictures()
    np.testing.assert_array_equal(augment(images, SEED), augment(images, SEED))
    assert (augment(images, SEED) != augment(images, SEED + 1)).numpy().any()


def test_without_rotation_nothing_is_rotated():
    images = pictures()
    same = Augmentation(flip=False, shift=0)(images, SEED)
    np.testing.assert_array_equal(same, images)
    flipped = Augmentation(flip=True, shift=0)(images, SEED).numpy()
    for image, result in zip(images, flipped, strict=True):
        assert np.array_equal(result, image) or np.array_equal(result, image[:, ::-1])
