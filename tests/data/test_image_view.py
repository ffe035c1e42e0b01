"""A view of rows behaves as the array would."""

import numpy as np
import pytest

from ganad_tf.data.image_view import ImageView
from ganad_tf.data.images import LabelledImages

ARRAY = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), dtype=np.uint8)
CHOSEN = np.array([7, 2, 2, 9])


@pytest.mark.parametrize(
    "key",
    [
        *[0, -1, slice(1, 3), np.s_[:0], [2, 0], np.array([True, False, True, False])],
        *[np.s_[:, 1], np.s_[1, 2:], np.s_[1:, :, :2, 0]],
    ],
    ids=str,
)
def test_indexing_is_that_of_the_array(key):
    np.testing.assert_array_equal(ImageView(ARRAY, CHOSEN)[key], ARRAY[CHOSEN][key])


def test_it_stands_where_an_array_of_images_does():
    images = LabelledImages(ImageView(ARRAY, CHOSEN), np.array([0, 0, 1, 1]), ("a", "b"))
    np.testing.assert_array_equal(images.images, ARRAY[CHOSEN])
    np.testing.assert_array_equal(images.subset([3, 0]).images, ARRAY[[9, 7]])
    copy = LabelledImages(ARRAY[CHOSEN], images.kinds, images.kind_names)
    assert images.digest() == copy.digest()
    assert len(images.images) == 4


@pytest.mark.parametrize("indices", [[3, 0], [], [True, False, True, False]], ids=str)
def test_a_subset_is_a_view_that_reads_nothing(indices):
    indices = np.array(indices, bool if True in indices else np.int64)
    part = ImageView(ARRAY, CHOSEN).subset(indices)
    assert isinstance(part, ImageView)
    assert np.shares_memory(part._array, ARRAY)
    np.testing.assert_array_equal(part[:], ARRAY[CHOSEN][indices])
