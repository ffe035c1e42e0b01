"""Masks shrink along with their images, and lose no defect."""

import numpy as np
import pytest
from PIL import Image

from ganad_tf.data.layout import list_folder
from ganad_tf.data.masks import match_masks, read_mask


def match(root):
    images = list_folder(root).images
    return match_masks(root, images, {image.path for image in images})


def test_a_shrunk_pixel_is_defective_if_half_of_it_is(tmp_path, save):
    mask = np.zeros((64, 64), np.uint8)
    mask[:32, :31] = 255
    shrunk = read_mask(save(tmp_path / "mask.png", mask), 32)
    expected = np.zeros((32, 32), bool)
    expected[:16, :16] = True  # of the last column, half
    np.testing.assert_array_equal(shrunk, expected)


def test_the_finest_scratch_does_not_vanish(tmp_path, save):
    mask = np.zeros((320, 320), np.uint8)
    mask[:, 100] = 1
    shrunk = read_mask(save(tmp_path / "mask.png", mask), 32)
    assert shrunk[:, 10].all()
    assert shrunk.sum() == 32


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "I;16"])
def test_masks_may_be_of_any_mode(tmp_path, mode):
    mask = Image.new("L", (32, 32))
    mask.paste(255, (4, 4, 8, 8))
    mask = Image.fromarray(np.asarray(mask).astype(np.uint16)) if ";" in mode else mask
    mask.convert(mode).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", 32).sum() == 16


def test_every_defective_test_image_finds_its_mask(mvtec):
    masks, bad = match(mvtec)
    assert masks == {f"test/hole/00{n}.png": f"ground_truth/hole/00{n}_mask.png" for n in range(3)}
    assert not bad


def test_masks_that_do_not_match_are_named(mvtec, save):
    truth = mvtec / "ground_truth" / "hole"
    (truth / "000_mask.png").rename(truth / "stray_mask.png")
    save(truth / "001_mask.png", np.ones((6, 6), np.uint8))
    save(truth / "002_mask.png", np.zeros((5, 6), np.uint8))
    masks, bad = match(mvtec)
    assert not masks
    assert {file.path.rpartition("/")[2]: file.reason for file in bad} == {
        "000_mask.png": "expected the mask of test/hole/000.png. Received: no file",
        "001_mask.png": "expected a mask of its image's size, 6x5. Received: 6x6",
        "002_mask.png": "expected a mask that marks a defect. Received: black alone",
        "stray_mask.png": "expected the mask of a test image. Received: no such image",
    }


def test_a_data_set_may_have_no_masks_at_all(mvtec):
    (mvtec / "ground_truth").rename(mvtec / "elsewhere")
    assert match(mvtec) == ({}, [])
