"""Every runtime sees a file as its user does: upright, and in the range of its camera."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from export import onnx_model, runtime, saved_model
from export.encoded import decode
from export.runtime import Scorer, ScoringError
from ganad_tf.data.image_files import decoding, reduced_jpeg
from ganad_tf.scoring import Detector

GREY, COLOUR = (28, 28, 1), (28, 28, 3)
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "JPEG": {"quality": 95}}


def noise(*shape, most=256, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, most, shape).astype(dtype)


def file_of(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation, kind="PNG", shape=(28, 28, 3), **options):
    exif = Image.Exif()
    exif[0x112] = orientation
    exif[0x10F] = "a maker"
    return file_of(Image.fromarray(noise(*shape)), kind, exif=exif, **LOSSLESS[kind], **options)


def deep_png(values, colour_type):
    """A 16-bit PNG; of colours, Pillow cannot write one."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def read_by_all(data, shape, tmp_path, bit_depth=16):
    """What training, the runtime and the served graph make of a file's bytes."""
    (tmp_path / "file").write_bytes(data)
    with decoding.open_image(tmp_path / "file") as image:
        training = decoding.prepare(image, shape, "stretch", bit_depth)
    with runtime.open_image(data) as image:
        ours = runtime.prepare(image, shape, "stretch", bit_depth)
    (served,) = decode(tf.constant([data]), shape, "stretch", bit_depth).numpy()
    np.testing.assert_array_equal(training, ours)
    return ours, served


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8, 0, 9])
def test_a_photo_is_read_as_viewers_show_it(kind, orientation, tmp_path):
    data = turned(orientation, kind)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    ours, served = read_by_all(data, COLOUR, tmp_path)
    np.testing.assert_array_equal(ours, shown)
    np.testing.assert_array_equal(served, shown)


def test_the_sides_of_a_turned_photo_change_places(tmp_path):
    ours, served = read_by_all(turned(6, shape=(28, 14, 3)), COLOUR, tmp_path)
    shown = np.rot90(noise(28, 14, 3), -1)
    expected = runtime.prepare(Image.fromarray(np.ascontiguousarray(shown)), COLOUR)
    np.testing.assert_array_equal(ours, expected)
    assert np.abs(served.astype(int) - expected).max() <= 1


def photo(width, height):
    """A picture with broad shapes and fine noise, as photos have."""
    y, x = np.mgrid[:height, :width] / 40.0
    waves = np.stack([np.sin(x + y), np.cos(x * y / 9), np.sin(y - x)], -1)
    grain = np.random.default_rng(0).normal(0, 8, (height, width, 3))
    return Image.fromarray(np.clip(128 + 90 * waves + grain, 0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("size", "factor"),
    [((55, 560), 1), ((112, 112), 2), ((111, 112), 1), ((448, 456), 8), ((300, 448), 4)],
)
@pytest.mark.parametrize("shape", [GREY, COLOUR])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_large_jpeg_photos_are_decoded_smaller_and_alike(size, factor, shape, mode, tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    data = file_of(photo(*size).convert(mode), "JPEG", quality=90, exif=exif)
    assert runtime.jpeg_factor(size, shape[:2]) == factor
    with runtime.open_image(data) as image:
        whole = image.copy()  # loaded, so nothing is left to decode
        expected = runtime.prepare(
            ImageOps.exif_transpose(whole, in_place=False) or whole, shape
        ).astype(int)
    with runtime.open_image(data) as image:
        runtime.prepare(image, shape)
        assert image.size == (size[0] // factor, size[1] // factor)
        assert runtime.shown_size(image) == size[::-1]
        assert runtime.measure_file(image)[0] == max(size)
    if mode == "CMYK":
        return  # TensorFlow decodes none
    ours, served = read_by_all(data, shape, tmp_path)
    assert np.abs(served.astype(int) - ours).max() <= 1
    assert np.abs(ours - expected).mean() <= (1 if factor > 1 else 0)


@given(
    size=st.tuples(st.integers(1, 9000), st.integers(1, 9000)),
    frame=st.tuples(st.integers(16, 512), st.integers(16, 512)),
)
def test_how_much_smaller_is_one_rule(size, frame):
    factor = runtime.jpeg_factor(size, frame)
    assert factor == reduced_jpeg.jpeg_factor(size, frame)
    assert factor == 1 or min(size) / factor >= 2 * max(frame)
    assert all(side % factor == 0 for side in size)


@pytest.mark.parametrize("cut", [4, 8, 12, 20])
def test_damaged_exif_data_turn_nothing(cut, tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    image = Image.fromarray(noise(28, 28, 3))
    data = file_of(image, "PNG", exif=exif.tobytes()[: 6 + cut])
    ours, served = read_by_all(data, COLOUR, tmp_path)
    np.testing.assert_array_equal(ours, noise(28, 28, 3))
    np.testing.assert_array_equal(served, ours)


@pytest.mark.parametrize("shape", [GREY, COLOUR])
@pytest.mark.parametrize("bit_depth", runtime.BIT_DEPTHS)
@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (6, 4), (4, 2)])
def test_sixteen_bits_are_scaled_alike(shape, bit_depth, colour_type, channels, tmp_path):
    data = deep_png(noise(28, 28, channels, most=6000, dtype=np.uint16), colour_type)
    ours, served = read_by_all(data, shape, tmp_path, bit_depth)
    np.testing.assert_array_equal(served, ours)


def test_all_levels_of_a_camera_with_twelve_bits_are_kept(tmp_path):
    values = np.linspace(0, 4095, 28 * 28).round().reshape(28, 28, 1)
    opaque = np.full_like(values, 65535)
    for colour_type, stored in (
        (0, values),
        (2, np.repeat(values, 3, -1)),
        (4, np.concatenate([values, opaque], -1)),
    ):
        data = deep_png(stored, colour_type)
        ours, _ = read_by_all(data, GREY, tmp_path, 12)
        assert len(np.unique(ours)) == 256
        assert np.abs(ours - values * 255 / 4095).max() <= 0.5


def test_values_beyond_the_bit_depth_are_white(tmp_path):
    data = deep_png(np.full((28, 28, 1), 5000), 0)
    ours, served = read_by_all(data, GREY, tmp_path, 12)
    assert (ours == 255).all()
    assert (served == 255).all()


def test_colours_declared_transparent_are_black_everywhere(tmp_path):
    for image, clear in (
        (Image.fromarray(noise(28, 28, most=5)), 3),
        (Image.fromarray(noise(28, 28, 3, most=2)), (1, 1, 0)),
        (Image.fromarray(noise(28, 28)).convert("1"), 1),
        (Image.fromarray(noise(28, 28, 3)).convert("P"), bytes(range(200))),
    ):
        data = file_of(image, "PNG", transparency=clear)
        for shape in (GREY, COLOUR):
            ours, served = read_by_all(data, shape, tmp_path)
            np.testing.assert_array_equal(served, ours)


def test_signed_pixels_are_refused_and_do_not_wrap():
    data = bytearray(file_of(Image.fromarray(noise(28, 28)), "TIFF", tiffinfo={339: 2}))
    with (
        runtime.open_image(bytes(data)) as image,
        pytest.raises(ScoringError, match="Received: signed 8-bit pixels"),
    ):
        runtime.prepare(image, GREY)


def test_one_picture_has_one_score_however_it_is_stored(model_path, tmp_path):
    picture = noise(28, 28)
    for orientation, quarters in ((1, 0), (3, 2), (6, 1), (8, -1)):
        exif = Image.Exif()
        exif[0x112] = orientation
        stored = np.ascontiguousarray(np.rot90(picture, quarters))
        Image.fromarray(stored).save(tmp_path / f"{orientation}.png", exif=exif)
    records = list(
        Scorer(model_path).score_files(sorted(tmp_path.glob("*.png")), maps=tmp_path / "m")
    )
    assert len({record["score"] for record in records}) == 1
    drawn = [np.asarray(Image.open(record["map"])) for record in records]
    for other in drawn[1:]:
        np.testing.assert_array_equal(other, drawn[0])


def test_the_bit_depth_and_the_limit_of_pixels_go_with_the_model(detector, tmp_path):
    detector.save(tmp_path / "detector")
    deep = Detector.load(tmp_path / "detector")
    assert (deep.bit_depth, deep.max_pixels) == (16, 64_000_000)
    deep.bit_depth, deep.max_pixels = 12, 1000
    deep.save(tmp_path / "detector")
    deep = Detector.load(tmp_path / "detector")
    onnx_model.save(onnx_model.build(deep, "0" * 64, "blob"), tmp_path / "model.onnx")
    scorer = Scorer(tmp_path / "model.onnx")
    assert (scorer.bit_depth, scorer.max_pixels) == (12, 1000)
    data = deep_png(noise(28, 28, 1, most=4096, dtype=np.uint16), 0)
    (tmp_path / "deep.png").write_bytes(data)
    Image.new("L", (40, 40)).save(tmp_path / "large.png")
    good, large = scorer.score_files([tmp_path / "deep.png", tmp_path / "large.png"])
    assert "at most 1,000 pixels" in large["error"]
    saved_model.write(deep, tmp_path / "1", {}, "ganad")
    serve = tf.saved_model.load(str(tmp_path / "1")).signatures["serve_encoded"]
    served = float(serve(encoded=tf.constant([data]))["score"][0])
    assert good["score"] == pytest.approx(served, abs=1e-4)
