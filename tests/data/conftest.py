"""Folders of tiny images for the tests of folder data."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def save():
    """Saves noise, a different picture each time, or a given array, under a new path."""
    rng = np.random.default_rng(0)

    def save(path, pixels=None, size=(6, 5), **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        if pixels is None:
            pixels = rng.integers(0, 256, size[::-1], dtype=np.uint8)
        Image.fromarray(np.asarray(pixels)).save(path, **options)
        return path

    return save


@pytest.fixture
def own(tmp_path, save):
    """20 normal images, 10 holes, 5 scratches and 5 other anomalies, in the own layout."""
    root = tmp_path / "own"
    for number in range(20):
        save(root / "normal" / f"{number}.png")
    for number in range(10):
        save(root / "anomaly" / "hole" / f"{number}.png")
    for number in range(5):
        save(root / "anomaly" / "scratch" / f"{number}.png")
        save(root / "anomaly" / f"{number}.png")
    return root


@pytest.fixture
def mvtec(tmp_path, save):
    """MVTec AD's layout: 20 normal images to learn from, 4 normal and 3 defective ones to test."""
    root = tmp_path / "mvtec"
    for number in range(20):
        save(root / "train" / "good" / f"{number:03}.png")
    for number in range(4):
        save(root / "test" / "good" / f"{number:03}.png")
    for number in range(3):
        save(root / "test" / "hole" / f"{number:03}.png")
        mask = np.zeros((5, 6), np.uint8)
        mask[number, :3] = 255
        save(root / "ground_truth" / "hole" / f"{number:03}_mask.png", mask)
    return root
