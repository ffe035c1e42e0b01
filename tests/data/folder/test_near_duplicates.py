"""A copy of a training image among the test images is named; images that are only alike are not."""

import numpy as np
import pytest
from PIL import Image

from ganad_tf.data.folder.load import load_folder
from ganad_tf.data.folder.options import FolderOptions


@pytest.fixture
def load(tmp_path):
    return lambda root: load_folder(root, FolderOptions(image_size=64), tmp_path / "kept")


def texture(rng, contrast=300):
    pixels = rng.normal(0, contrast, (64, 64))
    for axis in (0, 1):
        pixels = sum(np.roll(pixels, shift, axis) for shift in range(-3, 4)) / 7
    return 128 + pixels


def product(rng, jitter=0.5, light=0.02, noise=2.0, grain=0):
    """A bright part on a dark ground, as a camera above a belt sees it again and again."""
    top, left = rng.normal(32, jitter, 2)
    y, x = np.mgrid[:64, :64]
    inside = 1 / (1 + np.exp(np.hypot(y - top, x - left) - 20))
    pixels = (60 + 140 * inside) * rng.normal(1, light)
    pixels += rng.normal(0, noise, pixels.shape)
    return pixels + texture(rng, grain) - 128


def write(root, draw, train=60, test=20):
    """MVTec AD's layout, which fixes the parts."""
    rng = np.random.default_rng(0)
    for folder, count in (("train/good", train), ("test/good", test)):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(draw(rng), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{number:03}.png")
    return root


def copy(root, number, name, **options):
    with Image.open(root / "train" / "good" / f"{number:03}.png") as image:
        image.save(root / "test" / "good" / name, **options)


def pairs(splits):
    return {one.path: one.original for one in splits.folder.near_duplicates}


def test_copies_in_other_formats_are_named_with_their_originals(tmp_path, load, caplog):
    root = write(tmp_path / "data", texture)
    copy(root, 3, "a.jpg", quality=75)
    copy(root, 4, "b.webp", quality=80)
    with Image.open(root / "train/good/005.png") as image:
        image.resize((128, 128), Image.Resampling.BICUBIC).save(root / "test/good/c.png")
    splits = load(root)
    assert pairs(splits) == {
        "test/good/a.jpg": "train/good/003.png",
        "test/good/b.webp": "train/good/004.png",
        "test/good/c.png": "train/good/005.png",
    }
    note = next(note for note in splits.folder.notes if "nearly equal" in note)
    assert note.startswith("3 images are nearly equal to one in another part")
    assert note in caplog.text


@pytest.mark.parametrize(
    "draw",
    [
        texture,
        product,
        lambda rng: product(rng, jitter=0, light=0),
        lambda rng: product(rng, jitter=0, light=0.02, noise=0.5),
        lambda rng: product(rng, jitter=1, light=0),
    ],
    ids=["textures", "products", "fixed camera and light", "light varies", "place varies"],
)
def test_images_that_are_only_alike_are_not_named(draw, tmp_path, load):
    assert pairs(load(write(tmp_path / "data", draw, train=150, test=60))) == {}


def test_a_copy_among_products_that_differ_in_their_grain_is_named_alone(tmp_path, load):
    root = write(tmp_path / "data", lambda rng: product(rng, grain=80))
    copy(root, 7, "copy.jpg", quality=90)
    assert pairs(load(root)) == {"test/good/copy.jpg": "train/good/007.png"}


def test_two_copies_of_one_image_do_not_hide_each_other(tmp_path, load):
    root = write(tmp_path / "data", texture)
    with Image.open(root / "train/good/003.png") as image:
        image.save(root / "train/good/again.jpg", quality=90)
    copy(root, 3, "a.jpg", quality=75)
    assert pairs(load(root)).keys() == {"test/good/a.jpg"}


def test_few_training_images_are_enough_to_compare_with(tmp_path, load):
    root = write(tmp_path / "data", texture, train=3, test=2)
    copy(root, 0, "a.jpg", quality=75)
    assert pairs(load(root)).keys() == {"test/good/a.jpg"}
