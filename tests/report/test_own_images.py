"""A folder of dark normal images, one of which is bright, and a detector that sees brightness."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ganad_tf.data.folder.load import load_folder
from ganad_tf.data.folder.options import FolderOptions
from ganad_tf.report.figures import _outlines
from ganad_tf.report.own_images import describe_own_data

BRIGHT = "train/good/012.png"
THRESHOLD = 100.0


def predict(images, outputs=("score",)):
    values = images.mean(axis=-1)
    results = {"score": values.max(axis=(1, 2)), "anomaly_map": values / 100}
    return {name: results[name] for name in outputs}


# All of a detector that `describe_own_data` uses.
DETECTOR = SimpleNamespace(
    run=predict, scorer=SimpleNamespace(threshold=THRESHOLD, pixel_threshold=2.0)
)


@pytest.fixture
def splits(tmp_path, rng):
    root = tmp_path / "fotos ü"

    def save(path, level, box=None, mask=None):
        pixels = rng.integers(level, level + 9, (32, 32), dtype=np.uint8)
        if box:
            pixels[box] = 250
        for file, values in ((path, pixels), (mask, (pixels == 250) * np.uint8(255))):
            if file:
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values).save(root / file)

    for i in range(20):
        save(f"train/good/{i:03}.png", 200 if i == 12 else 20)
    for i in range(5):
        save(f"test/good/{i}.png", 30)
        save(f"test/faint/{i}.png", 40, mask=None)
        save(f"test/hole/{i}.png", 20, np.s_[4:9, 6:8], f"ground_truth/hole/{i}_mask.png")
    (root / "test/good/copy.png").write_bytes((root / "test/good/3.png").read_bytes())
    (root / "train/good/broken.png").write_bytes(b"nothing")
    return load_folder(root, FolderOptions(32, skip_bad=True), tmp_path / "cache")


@pytest.fixture
def told(splits):
    scores = predict(splits.test.images[:])["score"]
    aurocs = {"hole": 1.0, "faint": 0.9}
    return describe_own_data(splits, splits.folder, DETECTOR, scores, aurocs)


def test_the_worst_found_kind_comes_first(told):
    found = [(kind.name, kind.learnt, kind.tested, kind.found) for kind in told.kinds]
    assert found == [("faint", 0, 5, 0), ("hole", 0, 5, 5)]


def test_the_normal_images_of_highest_score_are_found_in_every_part(told, splits):
    first = told.suspects[0]
    assert (first.path, first.is_alarm) == (BRIGHT, True)
    assert first.part in ("train", "validation")
    stored = getattr(splits, first.part).images[getattr(splits, first.part).paths.index(BRIGHT)]
    np.testing.assert_array_equal(first.picture, stored)
    assert first.overlay.shape == (32, 32, 3)
    scores = [suspect.score for suspect in told.suspects]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 12
    # Test images are a little brighter here, so all six of them come next.
    assert [suspect.part for suspect in told.suspects[1:7]] == ["test"] * 6
    assert not any(suspect.is_alarm for suspect in told.suspects[1:])
    assert all(suspect.path.split("/")[1] == "good" for suspect in told.suspects)


def test_files_and_masks_are_told(told):
    assert told.layout == "MVTec"
    assert told.root.endswith("fotos ü")
    assert told.duplicates == [
        [("test/good/3.png", "good, test"), ("test/good/copy.png", "good, test")]
    ]
    paths = {path for path, _ in told.left_out}
    assert "train/good/broken.png" in paths
    assert (told.n_test_masks, told.n_train_masks) == (5, 0)
    assert all(note[0] == note[0].upper() and note[-1] == "." for note in told.notes)


def test_masks_belong_to_their_images(splits):
    paths = splits.test.paths
    hole, faint, good = (paths.index(f"test/{kind}/1.png") for kind in ("hole", "faint", "good"))
    expected = np.zeros((32, 32), bool)
    expected[4:9, 6:8] = True
    outlines = _outlines(splits.test.masks, np.array([hole, faint, good]))
    np.testing.assert_array_equal(outlines[0], expected)
    assert outlines[1:] == [None, None]
