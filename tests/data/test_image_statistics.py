"""Images that differ from the training images are noticed; images like them are not."""

import inspect
import io

import numpy as np
import pytest
from PIL import Image

from export import runtime
from ganad_tf.data import image_statistics
from ganad_tf.data.image_statistics import (
    describe_shifts,
    find_shifts,
    fit_ranges,
    measure_file,
    measure_pixels,
    rank_among,
)
from ganad_tf.data.images import LabelledImages

SHARED = (
    "measure_pixels",
    "measure_file",
    "shown_size",
    "rank_among",
    "find_shifts",
    "describe_shifts",
)


def test_noise_in_colour_is_as_saturated_however_large_a_photo_is_decoded(rng):
    noisy = np.clip(rng.normal(120, 20, (896, 1200, 3)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=95, subsampling=0)
    found = []
    for shape in ((896, 1200, 3), (56, 56, 3)):  # in full, as in a browser, and at an eighth
        with runtime.open_image(file.getvalue()) as image:
            runtime.prepare(image, shape)
            found.append(runtime.measure_file(image)[2])
    _, _, margin = runtime.STATISTICS["saturation"]
    assert abs(found[0] - found[1]) < margin / 4


def textures(rng, count, gain=1.0, spread=0.03):
    """Smooth noise in colour, whose brightness varies by a share `spread`."""
    images = rng.normal(0, 30, (count, 16, 16, 3))
    images = (images + np.roll(images, 1, 1)) / 2 + 120
    brightness = rng.normal(1, spread, (count, 1, 1, 1))
    return np.clip(images * brightness * gain, 0, 255).astype(np.uint8)


def ranges_of(images, files=None):
    kinds = np.zeros(len(images), np.int64)
    return fit_ranges(
        LabelledImages(images, kinds, ("good",), frozenset([0]), file_statistics=files)
    )


def shifted(ranges, images):
    return [shift["name"] for shift in find_shifts(ranges, measure_pixels(images))]


@pytest.mark.parametrize("name", SHARED)
def test_the_runtime_has_the_same_functions(name):
    ours, theirs = getattr(image_statistics, name), getattr(runtime, name)
    assert inspect.getsource(ours) == inspect.getsource(theirs)


@pytest.mark.parametrize("name", ["STATISTICS", "FILE_STATISTICS", "MAX_DEVIATION", "MIN_TRAINING"])
def test_the_runtime_has_the_same_constants(name):
    assert getattr(image_statistics, name) == getattr(runtime, name)


def test_statistics_are_what_their_names_say():
    columns = np.tile(np.array([0, 200], np.uint8), (1, 4, 2))[..., None]
    values = measure_pixels(columns)
    assert values["brightness"] == [100]
    assert values["contrast"] == [100]
    # Every step across is 200 and every step down 0: the mean square is half of 200 ** 2.
    assert values["sharpness"] == pytest.approx([np.sqrt(0.5) * 2], abs=1e-4)
    red = measure_pixels(np.full((1, 4, 4, 3), (90, 60, 30), np.uint8))
    assert (red["red"], red["blue"], red["sharpness"]) == (1.5, 0.5, 0)
    black = measure_pixels(np.zeros((1, 4, 4, 3), np.uint8))
    assert (black["brightness"], black["red"], black["contrast"]) == (0, 1, 0)


def test_statistics_of_a_file_are_those_of_the_photo_as_it_is_shown(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    Image.new("RGB", (40, 10), (200, 150, 100)).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        assert measure_file(image) == (40, 0.25, 100)
    for mode in ("RGB", "RGBA", "P", "CMYK"):
        stripes = Image.new("RGB", (64, 64), (90, 60, 90))
        stripes.paste((90, 120, 90), (0, 0, 64, 32))
        name = "stripes.tif" if mode == "CMYK" else "stripes.png"
        stripes.convert(mode).save(tmp_path / name)
        with Image.open(tmp_path / name) as image:
            assert measure_file(image) == (64, 1, pytest.approx(30, abs=1))
    for mode in ("1", "L", "LA", "P", "I;16", "RGBA", "CMYK", "RGBa"):
        size, aspect, saturation = measure_file(Image.new(mode, (20, 30)))
        assert (size, aspect, saturation) == (30, 0.6667, 0)


def test_ranks_count_half_of_equal_values():
    percentiles = np.arange(101.0)
    np.testing.assert_allclose(rank_among(np.array([-1, 50, 200]), percentiles), [0, 0.5, 1])
    np.testing.assert_allclose(rank_among(np.array([7.0]), np.full(101, 7.0)), [0.5])


def test_images_like_the_training_images_are_not_reported():
    """2,000 runs: few and many training images, alike and unlike, light and heavy tails."""
    rng = np.random.default_rng(0)
    reported = 0
    for run in range(2000):
        known, new = rng.integers(20, 400), rng.integers(1, 400)
        draw = [
            lambda n: 128 + rng.normal(0, 1, n),
            lambda n: 100 * rng.lognormal(0, 0.3, n),
            lambda n: rng.choice([60.0, 180.0], n),
        ][run % 3]
        percentiles = np.percentile(draw(known), np.arange(101)).tolist()
        ranges = {"images": int(known), "percentiles": {"brightness": percentiles}}
        reported += bool(find_shifts(ranges, {"brightness": draw(new)}))
    assert reported == 0


@pytest.mark.parametrize("spread", [0.0, 0.03, 0.15])
@pytest.mark.parametrize("gain", [0.8, 1.15, 1.2])
def test_brighter_and_darker_images_are_reported(rng, spread, gain):
    ranges = ranges_of(textures(rng, 200, spread=spread))
    assert "brightness" in shifted(ranges, textures(rng, 100, gain, spread))


def test_another_white_balance_is_reported_as_that(rng):
    ranges = ranges_of(textures(rng, 200))
    assert {"red", "blue"} <= set(shifted(ranges, textures(rng, 60, (1.1, 1, 0.9))))
    assert "brightness" not in shifted(ranges, textures(rng, 60, (1.1, 1, 0.9)))


def test_blurred_images_are_reported_as_that(rng):
    ranges = ranges_of(textures(rng, 200))
    images = textures(rng, 60).astype(float)
    blurred = (images + np.roll(images, 1, 2)) / 2
    assert "sharpness" in shifted(ranges, blurred.astype(np.uint8))


def test_a_difference_that_does_not_matter_is_not_reported(rng):
    ranges = ranges_of(textures(rng, 200, spread=0))
    assert shifted(ranges, textures(rng, 300, 1.02, spread=0)) == []


def test_a_few_images_are_reported_only_if_they_lie_far_outside(rng):
    ranges = ranges_of(textures(rng, 200))
    assert shifted(ranges, textures(rng, 3, 1.1, spread=0)) == []
    assert "brightness" in shifted(ranges, textures(rng, 1, 1.5))


def test_a_few_training_images_show_no_range(rng):
    ranges = ranges_of(textures(rng, 4))
    assert shifted(ranges, textures(rng, 5, 1.5)) == []


def test_another_size_and_colour_of_files_is_reported(rng):
    files = np.tile([640.0, 1.3333, 0.0], (60, 1))
    ranges = ranges_of(textures(rng, 60), files)
    other = {"size": np.full(20, 1280.0), "aspect": np.full(20, 1.3333)}
    other["saturation"] = np.full(20, 25.0)
    assert [shift["name"] for shift in find_shifts(ranges, other)] == ["size", "saturation"]


def test_the_line_has_the_numbers():
    percentiles = np.linspace(126, 130, 101).tolist()
    ranges = {"images": 182, "percentiles": {"brightness": percentiles}}
    shifts = find_shifts(ranges, {"brightness": np.full(60, 153.4)})
    line = describe_shifts(shifts, 60, 182)
    assert line.startswith(
        "60 images differ from the 182 normal training images: brightness 153.4 (128; 126 to 130; "
        "60 outside)."
    )
    assert describe_shifts([], 60, 182) == ""
