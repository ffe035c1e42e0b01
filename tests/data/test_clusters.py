"""Anomalies in groups, whether or not anyone knows their kinds."""

import numpy as np
import pytest

from ganad_tf.data.clusters import assign_groups


def three_shades(count=30, size=20):
    """Dark, grey and bright images with a little noise, shade after shade."""
    noise = np.random.default_rng(0).integers(0, 10, (count, size, size, 1))
    shades = np.repeat([0, 120, 240], count // 3)
    return (shades[:, None, None, None] + noise).astype(np.uint8), shades.astype(np.int64)


def test_k_means_finds_what_looks_alike_without_labels():
    images, shades = three_shades()
    groups = assign_groups(images, np.zeros_like(shades), "kmeans", k=3, seed=0)
    assert sorted(np.bincount(groups)) == [10, 10, 10]
    assert all(len(set(groups[shades == shade])) == 1 for shade in (0, 120, 240))


def test_known_kinds_are_groups_numbered_without_gaps():
    groups = assign_groups(np.zeros((4, 2, 2, 3), np.uint8), np.array([7, 2, 7, 9]), "kind")
    assert groups.tolist() == [1, 0, 1, 2]


def test_the_seed_decides():
    images = np.random.default_rng(1).integers(0, 256, (200, 28, 28, 1), np.uint8)
    first, again = (assign_groups(images, np.zeros(200, np.int64), k=9, seed=4) for _ in "ab")
    np.testing.assert_array_equal(first, again)
    assert set(first) == set(range(len(set(first))))


@pytest.mark.parametrize("shape", [(5, 1, 40, 1), (5, 17, 33, 3), (5, 128, 128, 3)])
def test_any_image_size_will_do_and_copies_share_a_group(shape):
    images = np.zeros(shape, np.uint8)
    images[3:] = 255
    groups = assign_groups(images, np.zeros(5, np.int64), k=9)
    assert len(set(groups)) == 2
    assert len(set(groups[:3])) == len(set(groups[3:])) == 1


def test_no_anomalies_no_groups():
    assert assign_groups(np.zeros((0, 4, 4, 1), np.uint8), np.zeros(0, np.int64)).shape == (0,)


def test_another_way_is_refused():
    with pytest.raises(ValueError, match="Received: 'colour'"):
        assign_groups(np.zeros((1, 4, 4, 1), np.uint8), np.zeros(1, np.int64), "colour")
