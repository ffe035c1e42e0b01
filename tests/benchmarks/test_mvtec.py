"""The benchmark for owners of MVTec AD and its like, on a small tree of that shape."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import mvtec
from ganad_tf.data.account import SplitEntry
from ganad_tf.errors import DataError, UsageError


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Two categories of 14 normal images and 6 anomalies with masks."""
    root = tmp_path_factory.mktemp("set")
    rng = np.random.default_rng(0)
    for category in ("bottle", "cable"):
        for part, kind, count in (
            ("train", "good", 14),
            ("test", "good", 4),
            ("test", "hole", 3),
            ("test", "cut", 3),
        ):
            for number in range(count):
                pixels = rng.integers(60, 90, (40, 40), dtype=np.uint8)
                mask = np.zeros((40, 40), np.uint8)
                if kind != "good":
                    mask[10:20, 10:20] = 255
                    pixels[mask > 0] = 250
                    _save(mask, root / category / "ground_truth" / kind / f"{number}_mask.png")
                _save(pixels, root / category / part / kind / f"{number}.png")
    (root / "license").mkdir()
    return root


def _save(pixels, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_every_category_is_found(tree, tmp_path):
    assert [path.name for path in mvtec.find_categories(tree)] == ["bottle", "cable"]
    assert mvtec.find_categories(tree / "cable") == [tree / "cable"]
    with pytest.raises(DataError, match="expected a data set in a layout"):
        mvtec.find_categories(tmp_path)
    with pytest.raises(DataError, match="expected a folder of categories"):
        mvtec.find_categories(tmp_path / "nowhere")


def test_labelled_anomalies_leave_the_test_and_kinds_take_turns():
    entries = [SplitEntry(f"t/{i}", "hole" if i < 20 else "cut", True, "test") for i in range(25)]
    entries.append(SplitEntry("n/0", "normal", False, "test"))
    drawn = mvtec.draw_labelled(entries, 4, 0)
    moved = [entry.kind for entry in drawn if entry.part == "train"]
    assert sorted(moved) == ["cut", "cut", "hole", "hole"]
    assert drawn == mvtec.draw_labelled(entries, 4, 0)
    assert drawn != mvtec.draw_labelled(entries, 4, 1)
    with pytest.raises(UsageError, match="must be below 25"):
        mvtec.draw_labelled(entries, 25, 0)


@pytest.mark.slow
def test_a_category_is_measured(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("GANAD_CACHE_DIR", str(tmp_path / "own"))
    flags = ["--epochs", "1", "--steps-per-epoch", "2", "--encoder", "none"]
    result = mvtec.run_category(tree / "cable", 2, flags)
    assert not (tmp_path / "own").exists()
    assert result["n_anomaly"] == 4
    assert 0 <= result["pixel_auroc"] <= 1
    lines = mvtec.table({"cable": result}).splitlines()
    assert "3 neighbours on pixels" in lines[0]
    assert lines[2].startswith("| cable | ")
    assert lines[3].startswith("| **mean** | ")
