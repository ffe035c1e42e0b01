"""Training reads image files just as the exported runtime does."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.robustness.damaged_files import plain_png
from export import runtime
from ganad_tf.data.image_files import decoding, deep_pixels, formats, reduced_jpeg
from ganad_tf.errors import DataError
from ganad_tf.settings import names

MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")
MODES += ("LAB", "I", "I;16", "I;16B", "I;16L")


def picture(mode, width, height, seed, transparent=False):
    rng = np.random.default_rng(seed)
    if mode.startswith("I"):
        values = rng.integers(0, 65536, (height, width))
        dtype = {"I": np.int32, "I;16B": ">u2"}.get(mode, "<u2")
        return Image.frombytes(mode, (width, height), values.astype(dtype).tobytes())
    image = Image.fromarray(rng.integers(0, 256, (height, width, 4), dtype=np.uint8))
    if mode in ("PA", "La", "LAB"):
        image = image.convert({"PA": "P", "La": "LA", "LAB": "RGB"}[mode])
    if mode == "LAB":  # Pillow converts to it with colour profiles alone
        return Image.frombytes("LAB", image.size, image.tobytes())
    image = image.convert(mode)
    if transparent and mode in ("1", "L", "P", "RGB"):
        image.info["transparency"] = (9, 9, 9) if mode == "RGB" else 3
    return image


def outcome(prepare, image, shape, resize="stretch"):
    """The pixels, or the message of the refusal."""
    try:
        return prepare(image, shape, resize).tobytes()
    except (DataError, runtime.ScoringError) as error:
        return str(error)
    except ValueError as error:
        return type(error)


@given(
    mode=st.sampled_from(MODES),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    shape=st.tuples(*[st.sampled_from([16, 32, 48])] * 2, st.sampled_from([1, 3])),
    seed=st.integers(0, 9),
    transparent=st.booleans(),
    resize=st.sampled_from(names.RESIZE_MODES),
)
@settings(max_examples=300)
def test_the_pixels_are_those_of_the_runtime(mode, size, shape, seed, transparent, resize):
    image = picture(mode, *size, seed, transparent)
    ours = outcome(decoding.prepare, image, shape, resize)
    assert ours == outcome(runtime.prepare, image, shape, resize)


@given(
    size=st.tuples(st.integers(1, 8000), st.integers(1, 8000)),
    frame=st.tuples(st.integers(16, 256), st.integers(16, 256)),
)
def test_padding_keeps_the_proportions_and_the_middle(size, frame):
    left, top, width, height = decoding.placed(size, frame, "pad")
    assert (left, top, width, height) == runtime.placed(size, frame, "pad")
    assert width == frame[0] or height == frame[1]
    scale = min(frame[0] / size[0], frame[1] / size[1])
    for side, original, whole, before in zip(
        (width, height), size, frame, (left, top), strict=True
    ):
        assert abs(side - max(1, scale * original)) <= 0.5 + 1e-9
        assert 0 <= (whole - side) - 2 * before <= 1


def test_a_wide_image_gets_black_above_and_below():
    image = Image.new("RGB", (20, 10), (200, 100, 50))
    prepared = decoding.prepare(image, (32, 32, 3), "pad")
    assert (prepared[8:24] == (200, 100, 50)).all()
    assert not prepared[:8].any()
    assert not prepared[24:].any()


def test_a_square_image_is_padded_by_nothing():
    image = picture("L", 20, 20, 0)
    assert outcome(decoding.prepare, image, (32, 32, 1), "pad") == outcome(
        decoding.prepare, image, (32, 32, 1)
    )


@pytest.mark.parametrize("mode", MODES[:-4])
def test_every_mode_of_files_is_understood(mode):
    if mode not in ("La", "RGBa", "LAB"):
        assert decoding.prepare(picture(mode, 9, 7, 0), (16, 16, 3)).shape == (16, 16, 3)


@pytest.mark.parametrize(
    "image", [Image.new("F", (4, 4)), Image.new("I", (4, 4), 70000), Image.new("I", (4, 4), -1)]
)
def test_the_same_images_are_refused_in_the_same_words(image):
    assert outcome(decoding.prepare, image, (16, 16, 1)).startswith("expected 8-bit or 16-bit")
    assert outcome(decoding.prepare, image, (16, 16, 1)) == outcome(
        runtime.prepare, image, (16, 16, 1)
    )


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (decoding, "MAX_PIXELS"),
        *((reduced_jpeg, name) for name in ("JPEG_FACTORS", "JPEG_ROOM", "JPEG_FORMATS")),
        *((names, name) for name in ("BIT_DEPTHS", "RESIZE_MODES")),
    ],
)
def test_limits_are_the_same(module, name):
    assert getattr(module, name) == getattr(runtime, name)


def test_formats_are_the_same():
    assert formats.FORMATS == runtime.FORMATS


def test_files_of_every_format_are_read_alike(tmp_path):
    for suffix, mode in [
        *[(".png", "I;16"), (".png", "P"), (".tif", "CMYK"), (".tif", "I;16"), (".jpg", "CMYK")],
        *[(".gif", "P"), (".bmp", "RGB"), (".webp", "RGBA"), (".ppm", "RGB"), (".pbm", "1")],
    ]:
        path = tmp_path / f"ä b{suffix}"
        picture(mode, 40, 30, 0).save(path)
        with decoding.open_image(path) as ours, runtime.open_image(path) as theirs:
            for shape in ((32, 32, 1), (48, 48, 3)):
                np.testing.assert_array_equal(
                    decoding.prepare(ours, shape), runtime.prepare(theirs, shape)
                )


def test_huge_images_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    Image.new("1", (11, 10)).save(tmp_path / "huge.png")
    monkeypatch.setattr(decoding, "MAX_PIXELS", 100)
    with pytest.raises(DataError, match=r"at most 100 pixels .*Received: 11x10"):
        decoding.open_image(tmp_path / "huge.png")


@pytest.mark.parametrize(("module", "place"), [(decoding, deep_pixels), (runtime, runtime)])
@pytest.mark.parametrize("mode", ["LA", "P", "RGBA", "I", "I;16", "I;16B"])
def test_strips_of_an_image_give_the_pixels_of_the_whole(module, place, mode, monkeypatch):
    image = picture(mode, 23, 31, 1, transparent=True)
    whole = module.prepare(image, (32, 32, 3))
    monkeypatch.setattr(place, "STRIP", 70)  # three rows
    np.testing.assert_array_equal(module.prepare(image, (32, 32, 3)), whole)


@pytest.mark.parametrize("module", [decoding, runtime])
def test_the_largest_photo_takes_less_than_a_gibibyte(module, tmp_path):
    """16 bits with opacity need most. Measured in a process of its own, on a smaller photo."""
    code = (
        "import resource, sys; from PIL import Image; from pathlib import Path\n"
        f"from {module.__name__} import open_image, prepare\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10\n"
        "before = peak()\n"
        "with open_image(Path(sys.argv[1])) as image: prepare(image, (32, 32, 3))\n"
        "print(peak() - before)"
    )
    side, depth, colour_and_opacity = 3000, 16, 6
    (tmp_path / "photo.png").write_bytes(plain_png(side, depth, colour_and_opacity))
    shown = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "photo.png")],
        capture_output=True,
        text=True,
        check=True,
    )
    strips = 100  # MiB, whatever the size of the photo
    assert float(shown.stdout) - strips < (1024 - strips) * side**2 / decoding.MAX_PIXELS


@pytest.mark.parametrize("module", [decoding, runtime])
def test_an_image_like_a_thread_is_refused(module, tmp_path):
    """Pillow would copy its rows for minutes."""
    Image.new("L", (200_001, 2)).save(tmp_path / "thread.png")
    with pytest.raises((DataError, runtime.ScoringError), match="sides of at most 200,000 pixels"):
        module.open_image(tmp_path / "thread.png")
