"""Arrays are handled as files of the same pixels would be."""

import numpy as np
import pytest
from PIL import Image

from ganad_tf.data.arrays import number_kinds, prepare_images, split_arrays
from ganad_tf.data.folder.options import FolderOptions
from ganad_tf.data.image_files import decoding
from ganad_tf.data.image_files.decoding import open_image, prepare
from ganad_tf.data.masks import read_mask
from ganad_tf.errors import DataError


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (20, 40, 50, 3), dtype=np.uint8)


@pytest.mark.parametrize("resize", ["stretch", "pad"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_those_of_a_file(images, tmp_path, resize, channels):
    Image.fromarray(images[0]).save(tmp_path / "0.png")
    with open_image(tmp_path / "0.png") as file:
        expected = prepare(file, (32, 32, channels), resize)
    prepared = prepare_images(images[:1], (32, 32, channels), resize)
    np.testing.assert_array_equal(prepared[0], expected)


def test_images_in_memory_may_have_any_number_of_pixels(images, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 100)
    assert prepare_images(images, (32, 32, 3)).shape == (20, 32, 32, 3)


def test_images_may_differ_in_size_and_colour(rng):
    several = [np.zeros(shape, np.uint8) for shape in ((30, 20), (20, 30, 1), (8, 9, 3))]
    assert prepare_images(several, (32, 32, 3)).shape == (3, 32, 32, 3)
    np.testing.assert_array_equal(
        prepare_images(several[0][None], (32, 32, 1)), np.zeros((1, 32, 32, 1))
    )


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 8, 8, 3), np.float32),
        np.zeros((2, 8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
        np.zeros((8, 8), np.uint8),
        [np.zeros((8, 8), np.uint8), np.zeros((8, 0), np.uint8)],
        [],
        "images",
        None,
    ],
)
def test_other_arrays_are_refused(wrong):
    with pytest.raises(DataError, match=r"^images must be .*Received: "):
        prepare_images(wrong, (32, 32, 3))


def test_sizes_and_channels_follow_the_images(images):
    splits = split_arrays(images, None, None, FolderOptions())
    assert splits.image_shape == (64, 64, 3)
    grey = split_arrays(images[..., 0], None, None, FolderOptions(image_size=32))
    assert grey.image_shape == (32, 32, 1)


def test_parts_are_disjoint_and_hold_all_images(images):
    labels = np.arange(20) % 4 == 3
    splits = split_arrays(images, labels, None, FolderOptions(image_size=32))
    assert splits.protocol == "seen"
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (17, 3, 0)
    both = np.concatenate([splits.train.images, splits.validation.images])
    assert len(np.unique(both.reshape(20, -1), axis=0)) == 20
    assert splits.train.is_anomaly.sum() + splits.validation.is_anomaly.sum() == 5
    again = split_arrays(images, labels, None, FolderOptions(image_size=32))
    assert again.fingerprint == splits.fingerprint
    other = split_arrays(images, labels, None, FolderOptions(image_size=32, seed=1))
    assert other.fingerprint != splits.fingerprint


def test_a_single_anomaly_is_learnt_from(images):
    splits = split_arrays(images, np.arange(20) == 7, None, FolderOptions(image_size=32))
    assert (splits.n_labelled, int(splits.validation.is_anomaly.sum())) == (1, 0)


def test_anomalies_can_be_left_out(images):
    options = FolderOptions(image_size=32, learn_anomalies=False)
    splits = split_arrays(images, np.arange(20) % 2, None, options)
    assert splits.protocol == "none"
    assert len(splits.train) + len(splits.validation) == 10


def test_masks_are_scaled_as_mask_files_are(images, tmp_path):
    defect = np.zeros((40, 50), bool)
    defect[3:9, 11:20] = True
    Image.fromarray(defect.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    labels = np.arange(20) % 2
    # A mask without a defective pixel says nothing, nor does one of a normal image.
    masks = [defect if number < 6 else defect * 0 for number in range(19)] + [None]
    splits = split_arrays(images, labels, masks, FolderOptions(image_size=32, seed=1))
    assert splits.n_masked == 2  # of three, one is held out
    index = int(np.flatnonzero(splits.train.masks.known)[0])
    np.testing.assert_array_equal(splits.train.masks[index], read_mask(tmp_path / "mask.png", 32))
    pixels = splits.train.masks.as_pixels(np.array([index]))
    assert 0 < (pixels == 255).sum() < 32 * 32


@pytest.mark.parametrize("masks", [[None] * 19, [np.zeros((50, 40), bool)] * 20])
def test_masks_of_another_form_are_refused(images, masks):
    with pytest.raises(DataError, match=r"^masks must .*Received: "):
        split_arrays(images, np.ones(20), masks, FolderOptions(image_size=32))


@pytest.mark.parametrize(
    ("labels", "kinds", "names"),
    [
        (None, [0, 0, 0], ("normal",)),
        ([0, 1, 0], [0, 1, 0], ("normal", "anomaly")),
        (np.array([False, True, True]), [0, 1, 1], ("normal", "anomaly")),
        ([0.0, 7.0, 2.0], [0, 2, 1], ("normal", "anomaly 2", "anomaly 7")),
        (["hole", "normal", "crack"], [2, 0, 1], ("normal", "crack", "hole")),
    ],
)
def test_labels_are_numbers_or_names(labels, kinds, names):
    numbers, found = number_kinds(labels, 3)
    assert (numbers.tolist(), found) == (kinds, names)


@pytest.mark.parametrize("labels", [[0, 1], [-1, 1, 1], [0, 0.5, 1], [None, "a", "b"], [[0]] * 3])
def test_other_labels_are_refused(labels):
    with pytest.raises(DataError, match=r"^labels must .*Received: "):
        number_kinds(labels, 3)
