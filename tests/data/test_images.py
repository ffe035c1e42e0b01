"""A data set says at once when it is not what it claims to be."""

import numpy as np
import pytest

from ganad_tf.data.image_view import ImageView
from ganad_tf.data.images import LabelledImages
from ganad_tf.data.masks import Masks
from ganad_tf.errors import DataError


def make(images=None, kinds=(0, 1, 2, 1), names=("shirt", "shoe", "bag"), **rest):
    images = np.arange(4 * 2 * 2, dtype=np.uint8).reshape(4, 2, 2, 1) if images is None else images
    return LabelledImages(images, np.array(kinds, np.int64), names, **rest)


def test_everything_but_the_normal_kinds_is_an_anomaly():
    data = make(normal_kinds=frozenset({1}))
    assert data.is_anomaly.tolist() == [True, False, True, False]
    assert make().is_anomaly.all()


def test_a_subset_keeps_the_order_it_is_asked_for():
    part = make().with_normal(1).subset([3, 0])
    assert len(part) == 2
    assert part.kinds.tolist() == [1, 0]
    assert part.images[0, 0, 0, 0] == 12
    assert part.normal_kinds == {1}


def test_a_subset_keeps_paths_and_masks_in_step_with_images(tmp_path):
    mask_files = [None, tmp_path / "1_mask.png", None, tmp_path / "3_mask.png"]
    is_anomaly = np.array([False, True, False, True])
    data = make(
        kinds=(0, 1, 0, 1),
        normal_kinds=frozenset({0}),
        paths=("0.png", "1.png", "2.png", "3.png"),
        masks=Masks(mask_files, is_anomaly, 32),
    )
    part = data.subset([3, 2])
    assert part.paths == ("3.png", "2.png")
    assert part.masks.known.tolist() == [True, False]
    assert data.subset(data.is_anomaly).paths == ("1.png", "3.png")


def test_a_subset_without_any_known_mask_has_none(tmp_path):
    masks = Masks([None, tmp_path / "mask.png"] * 2, np.array([False, True] * 2), 32)
    data = make(kinds=(0, 1, 0, 1), normal_kinds=frozenset({0}), masks=masks)
    assert data.subset([0, 2]).masks is None
    assert data.subset([]).masks is None
    assert data.subset([0, 1]).masks is not None


def test_a_subset_of_images_on_disk_stays_there():
    images = make().images
    data = make(ImageView(images, np.array([3, 2, 1, 0])))
    part = data.subset(np.array([0, 3]))
    assert isinstance(part.images, ImageView)
    np.testing.assert_array_equal(part.images, images[[3, 0]])


def test_a_set_may_be_empty():
    assert make().subset([]).digest() == make().subset([]).digest()


def test_the_digest_tells_pixels_and_kinds_apart():
    changed = make().images.copy()
    changed[0, 0, 0, 0] += 1
    digests = {make().digest(), make(changed).digest(), make(kinds=(0, 1, 2, 2)).digest()}
    assert len(digests) == 3
    assert make().digest() == make().digest()


def test_memory_mapped_images_do(tmp_path):
    mapped = np.memmap(tmp_path / "images", np.uint8, "w+", shape=(4, 2, 2, 3))
    assert len(make(mapped).subset([1])) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": np.zeros((4, 2, 2, 1))}, "images must be uint8.*Received: float64"),
        ({"images": np.zeros((4, 2, 2), np.uint8)}, r"Received: uint8 \[4, 2, 2\]"),
        ({"images": np.zeros((4, 2, 2, 4), np.uint8)}, "C = 1 or 3"),
        ({"kinds": (0, 1)}, r"kinds must be int64 \[4\].*Received: int64 \[2\]"),
        ({"kinds": (0, 1, 2, 3)}, r"kinds must lie in 0\.\.2.*Received: 0\.\.3"),
        ({"paths": ("a.png",)}, r"paths must be 4, one per image, or none. Received: 1"),
        ({"masks": Masks([None], np.array([True]), 32)}, r"masks must be 4.*Received: 1"),
        ({"normal_kinds": frozenset({3})}, r"normal_kinds must lie in 0\.\.2.*Received: \[3\]"),
    ],
)
def test_what_does_not_fit_is_named(arguments, message):
    with pytest.raises(DataError, match=message):
        make(**arguments)
