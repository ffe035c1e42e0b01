"""A data set says at once when it is not what it claims to be."""

import numpy as np
import pytest

from ganad_tf.data.images import LabelledImages
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
        ({"normal_kinds": frozenset({3})}, r"normal_kinds must lie in 0\.\.2.*Received: \[3\]"),
    ],
)
def test_what_does_not_fit_is_named(arguments, message):
    with pytest.raises(DataError, match=message):
        make(**arguments)
