"""Anomalies in groups, whether or not anyone knows their kinds."""

import numpy as np
import pytest

from ganad_tf.data.clusters import find_groups


def three_shades(count=30, size=20):
    """Dark, grey and bright images with a little noise, shade after shade."""
    noise = np.random.default_rng(0).integers(0, 10, (count, size, size, 1))
    shades = np.repeat([0, 120, 240], count // 3)
    return (shades[:, None, None, None] + noise).astype(np.uint8), shades.astype(np.int64)


def test_k_means_finds_what_looks_alike_without_labels():
    images, shades = three_shades()
    groups = find_groups(images, np.zeros_like(shades), "kmeans", k=3, seed=0).numbers
    assert sorted(np.bincount(groups)) == [10, 10, 10]
    assert all(len(set(groups[shades == shade])) == 1 for shade in (0, 120, 240))


def test_known_kinds_are_groups_numbered_without_gaps():
    groups = find_groups(np.zeros((4, 2, 2, 3), np.uint8), np.array([7, 2, 7, 9]), "kind").numbers
    assert groups.tolist() == [1, 0, 1, 2]


def test_the_seed_decides():
    images = np.random.default_rng(1).integers(0, 256, (200, 28, 28, 1), np.uint8)
    first, again = (find_groups(images, np.zeros(200, np.int64), k=9, seed=4).numbers for _ in "ab")
    np.testing.assert_array_equal(first, again)
    assert set(first) == set(range(len(set(first))))


@pytest.mark.parametrize("shape", [(5, 1, 40, 1), (5, 17, 33, 3), (5, 128, 128, 3)])
def test_any_image_size_will_do_and_copies_share_a_group(shape):
    images = np.zeros(shape, np.uint8)
    images[3:] = 255
    groups = find_groups(images, np.zeros(5, np.int64), k=9).numbers
    assert len(set(groups)) == 2
    assert len(set(groups[:3])) == len(set(groups[3:])) == 1


def test_no_anomalies_no_groups():
    for k in (9, None):
        groups = find_groups(np.zeros((0, 4, 4, 1), np.uint8), np.zeros(0, np.int64), k=k)
        assert groups.numbers.shape == (0,)
        assert groups.to_dict() == {"k": 0, "sizes": [], "silhouette": {}}


def test_another_way_is_refused():
    with pytest.raises(ValueError, match="Received: 'colour'"):
        find_groups(np.zeros((1, 4, 4, 1), np.uint8), np.zeros(1, np.int64), "colour")


def test_the_silhouette_finds_how_many_there_are():
    images, shades = three_shades()
    groups = find_groups(images, np.zeros_like(shades), k=None)
    assert groups.count == 3
    assert {2, 3} <= set(groups.silhouette) <= set(range(2, 10))
    assert groups.silhouette[3] == max(groups.silhouette.values()) > 0.9
    assert all(len(set(groups.numbers[shades == shade])) == 1 for shade in (0, 120, 240))
    assert groups.to_dict()["sizes"] == [10, 10, 10]
    assert str(groups).startswith("3 groups of anomalies by silhouette (2: 0.")


def test_few_anomalies_are_one_group():
    images, shades = three_shades(count=6)
    groups = find_groups(images, shades, k=None)
    assert (groups.count, groups.silhouette) == (1, {})


def test_an_outlier_is_no_kind():
    images = np.zeros((10, 8, 8, 1), np.uint8) + np.arange(10, dtype=np.uint8)[:, None, None, None]
    images[3] = 255
    groups = find_groups(images, np.zeros(10, np.int64), k=None)
    assert np.bincount(groups.numbers).min() >= 2 or groups.count == 1


@pytest.mark.parametrize("different", [1, 2])
def test_copies_of_few_pictures_can_be_grouped(different):
    images = np.zeros((20, 8, 8, 1), np.uint8)
    images[10:] = 255 * (different - 1)
    assert find_groups(images, np.zeros(20, np.int64), k=None).count == different


def test_many_images_are_grouped_by_a_sample_of_them():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 9, (2500, 8, 8, 1), np.uint8)
    images[1000:] += 200
    groups = find_groups(images, np.zeros(2500, np.int64), k=None)
    assert groups.to_dict()["sizes"] in ([1000, 1500], [1500, 1000])
