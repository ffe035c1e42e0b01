"""Images of every mode become what the model takes, by documented rules."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from export import runtime
from export.encoded import decode
from export.runtime import ScoringError, open_image, prepare

GREY, COLOUR = (28, 28, 1), (28, 28, 3)


def pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_a_fitting_grey_image_is_taken_as_it_is():
    given = pixels(28, 28)
    assert np.array_equal(prepare(Image.fromarray(given), GREY)[..., 0], given)


def test_sixteen_bits_are_scaled_and_not_clipped():
    given = np.full((28, 28), 0x8000, np.uint16)
    assert np.unique(prepare(Image.fromarray(given), GREY)).tolist() == [128]


def test_transparency_is_laid_over_black():
    given = np.full((28, 28, 4), 200, np.uint8)
    given[:14, :, 3] = 0
    prepared = prepare(Image.fromarray(given, "RGBA"), COLOUR)
    assert prepared[:14].max() == 0
    assert prepared[14:].min() == prepared[14:].max() == 157  # 200 * 200 / 255


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_every_mode_and_size_fits(mode, shape):
    image = Image.fromarray(pixels(40, 30, 3)).convert("RGBA" if mode == "PA" else "RGB")
    image = image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)
    prepared = prepare(image, shape)
    assert prepared.shape == shape
    assert prepared.dtype == np.uint8


def test_shrinking_averages_over_all_pixels():
    checks = np.kron(np.indices((56, 56)).sum(0) % 2, np.ones((2, 2))) * 255
    prepared = prepare(Image.fromarray(checks.astype(np.uint8)), GREY)
    assert abs(prepared[2:-2, 2:-2].astype(int) - 127).max() <= 8


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("L", (28, 28), shade) for shade in (10, 250)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with open_image(tmp_path / "a.gif") as image:
        assert prepare(image, GREY).max() == 10


@pytest.mark.parametrize(
    "image",
    [Image.new("F", (28, 28)), Image.fromarray(np.full((28, 28), 70000, np.int32))],
    ids=["float", "32-bit"],
)
def test_other_numbers_are_refused(image):
    with pytest.raises(ScoringError, match=r"expected 8-bit or 16-bit pixels\. Received: "):
        prepare(image, GREY)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "MAX_PIXELS", 100)
    Image.new("L", (11, 10)).save(tmp_path / "bomb.png")
    with pytest.raises(ScoringError, match=r"expected at most 100 pixels .*Received: 11x10"):
        open_image(tmp_path / "bomb.png")


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("shape", [GREY, COLOUR])
@pytest.mark.parametrize("size", [(28, 28), (50, 37), (9, 40)])
@pytest.mark.parametrize("resize", runtime.RESIZE_MODES)
def test_tensorflow_decodes_png_bytes_alike(mode, shape, size, resize):
    image = Image.fromarray(pixels(*size[::-1], 4)).convert(mode)
    file = io.BytesIO()
    image.save(file, "PNG")
    (decoded,) = decode(tf.constant([file.getvalue()]), shape, resize).numpy()
    difference = np.abs(decoded.astype(int) - prepare(Image.open(file), shape, resize)).max()
    assert difference <= (0 if size == (28, 28) else 1)


@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_jpegs_are_decoded_alike_for_serving(shape):
    file = io.BytesIO()
    smooth = np.kron(pixels(7, 7, 3), np.ones((4, 4, 1), np.uint8))
    Image.fromarray(smooth if shape is COLOUR else smooth[..., 0]).save(file, "JPEG", quality=80)
    with open_image(file.getvalue()) as image:
        expected = prepare(image, shape)
    decoded = decode(tf.constant([file.getvalue()]), shape).numpy()[0]
    np.testing.assert_array_equal(decoded, expected)
