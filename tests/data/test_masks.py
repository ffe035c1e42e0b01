"""Masks shrink along with their images, lose no defect, and are read when they are asked for."""

import numpy as np
import pytest
from PIL import Image

from ganad_tf.data import masks as masks_module
from ganad_tf.data.masks import Masks, defective_pixels, read_mask


@pytest.fixture
def marked(save, tmp_path):
    """A mask file with two defective rows, and the mask."""
    pixels = np.zeros((32, 32), np.uint8)
    pixels[3:5] = 7
    return save(tmp_path / "mask.png", pixels), pixels > 0


@pytest.fixture
def masks(marked):
    """A normal image, an anomaly with a mask, one without, and a normal image with a mask file."""
    return Masks([None, marked[0], None, marked[0]], np.array([False, True, True, False]), 32)


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


def test_a_padded_mask_has_no_defect_in_its_margins(tmp_path, save):
    mask = read_mask(save(tmp_path / "mask.png", np.full((20, 40), 255, np.uint8)), 32, "pad")
    assert mask[8:24].all()
    assert not mask[:8].any()
    assert not mask[24:].any()


def test_one_mask_is_all_false_for_normal_images_and_none_if_unknown(masks, marked):
    np.testing.assert_array_equal(masks[1], marked[1])
    assert masks[2] is None
    for normal in (0, 3):
        assert masks[normal].shape == (32, 32)
        assert not masks[normal].any()


def test_known_are_anomalies_with_a_mask_and_measurable_also_normal_images(masks):
    assert len(masks) == 4
    assert masks.known.tolist() == [False, True, False, False]
    assert masks.measurable.tolist() == [0, 1, 3]


def test_as_pixels_an_anomaly_without_a_mask_is_defective_everywhere(masks, marked):
    pixels = masks.as_pixels(np.array([1, 2, 0, 1]))
    assert (pixels.shape, pixels.dtype) == ((4, 32, 32, 1), np.uint8)
    np.testing.assert_array_equal(pixels[0, ..., 0], marked[1] * 255)
    assert (pixels[1] == 255).all()
    assert not pixels[2].any()
    np.testing.assert_array_equal(pixels[3], pixels[0])
    assert masks.as_pixels(np.array([], np.int64)).shape == (0, 32, 32, 1)


def test_a_subset_has_the_masks_of_its_images(masks, marked):
    part = masks.subset([2, 1])
    assert part.known.tolist() == [False, True]
    np.testing.assert_array_equal(part[1], marked[1])
    assert masks.subset(np.array([True, False, False, True])).measurable.tolist() == [0, 1]
    assert len(masks.subset([])) == 0


def test_a_file_is_read_once_and_only_when_asked_for(masks, monkeypatch):
    read = []

    def count(path, _):
        read.append(path)
        return np.ones((32, 32), bool)

    monkeypatch.setattr(masks_module, "defective_pixels", count)
    part = masks.subset([1, 2])
    assert not read
    for _ in range(2):
        assert part[0].all()
        assert masks[1].all()
    assert len(read) == 1


def test_masks_cannot_be_changed_by_their_readers(masks):
    with pytest.raises(ValueError, match="read-only"):
        masks[1][0] = True


def test_labels_must_be_one_per_path():
    with pytest.raises(ValueError, match=r"is_anomaly must be \[2\].*Received: \[3\]"):
        Masks([None, None], np.zeros(3, bool), 32)


def alpha(colours, opacity):
    return np.dstack([np.broadcast_to(np.uint8(colours), (*opacity.shape, 3)), opacity])


BLOCK = np.zeros((32, 32), np.uint8)
BLOCK[8:16, 8:16] = 1


@pytest.mark.parametrize(
    "pixels",
    [
        BLOCK,
        BLOCK * 255,
        BLOCK[..., None] * np.uint8([0, 0, 2]),  # nearly black
        alpha(255, BLOCK * 255),  # drawn in the opacity of a white picture
        alpha(0, BLOCK * 255),  # in black on a clear layer
        np.dstack([255 - BLOCK[..., None] * np.uint8([0, 255, 255]), BLOCK * 255]),
        np.dstack([BLOCK * 255] * 3 + [np.full_like(BLOCK, 255)]),
        BLOCK.astype(np.uint16) * 300,
    ],
    ids=["0/1", "0/255", "dark", "alpha", "black", "red on clear", "opaque", "16 bits"],
)
def test_a_mask_marks_the_defect_however_it_was_drawn(tmp_path, save, pixels):
    path = save(tmp_path / "mask.png", pixels)
    np.testing.assert_array_equal(defective_pixels(path), BLOCK > 0)


def test_every_label_of_a_mask_is_a_defect(tmp_path, save):
    labels = np.arange(32 * 32, dtype=np.uint8).reshape(32, 32) % 8
    np.testing.assert_array_equal(defective_pixels(save(tmp_path / "m.png", labels)), labels > 0)


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_fringes_of_jpeg_are_no_defects(tmp_path, save, quality):
    scratch = np.zeros((256, 256), np.uint8)
    for row in range(40, 200):
        scratch[row, row : row + 2] = 255
    path = save(tmp_path / "mask.jpg", scratch, quality=quality)
    found = defective_pixels(path)
    assert 0.8 < found.sum() / (scratch > 0).sum() < 1.25
    # The fringes are still in a file that was made from a JPEG.
    again = save(tmp_path / "again.png", np.asarray(Image.open(path)))
    np.testing.assert_array_equal(defective_pixels(again), found)


def test_a_mask_is_turned_as_its_exif_data_say(tmp_path, save):
    exif = Image.Exif()
    exif[0x112] = 6
    pixels = np.zeros((20, 30), np.uint8)
    pixels[2:5, 20:25] = 255
    path = save(tmp_path / "mask.png", pixels, exif=exif)
    np.testing.assert_array_equal(defective_pixels(path), np.rot90(pixels, -1) > 0)


def test_several_masks_of_one_image_are_laid_over_one_another(tmp_path, save):
    one, other = np.zeros((2, 32, 32), np.uint8)
    one[3], other[9] = 255, 7
    files = (save(tmp_path / "0.png", one), save(tmp_path / "1.png", other))
    mask = Masks([files], np.array([True]), 32)[0]
    assert np.flatnonzero(mask.any(axis=1)).tolist() == [3, 9]
