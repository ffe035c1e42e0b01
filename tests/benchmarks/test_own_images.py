"""The benchmark of own images: the same experiment in folders, and a fair judgement."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import own_images, own_images_tables, results_file
from ganad_tf.data.folder.load import load_folder
from ganad_tf.data.folder.options import FolderOptions
from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.preprocessing import to_network


def part(count, seed):
    rng = np.random.default_rng(seed)
    return LabelledImages(
        rng.integers(0, 256, (count, 28, 28, 1), dtype=np.uint8),
        np.arange(count, dtype=np.int64) % 3,
        ("T-shirt/top", "Dress", "Sneaker"),
        frozenset([2]),
    )


@pytest.fixture
def splits(monkeypatch):
    splits = Splits(part(12, 0), part(6, 1), part(9, 2), "Sneaker", "seen", "0" * 64)
    monkeypatch.setattr(own_images, "_load", lambda source: splits)
    return splits


def test_a_folder_holds_the_same_images_in_the_same_parts(splits, tmp_path):
    own_images.write_as_folder(tmp_path / "data", splits)
    split = tmp_path / "data" / "split.csv"
    options = FolderOptions(32, split_file=split)
    read = load_folder(tmp_path / "data", options, tmp_path)
    for name in ("train", "validation", "test"):
        expected, found = getattr(splits, name), getattr(read, name)
        assert sorted(zip(found.is_anomaly, map(bytes, found.images[:]), strict=True)) == sorted(
            (label, bytes(np.pad(image, ((2, 2), (2, 2), (0, 0)))))
            for label, image in zip(expected.is_anomaly, expected.images, strict=True)
        )
    assert set(read.test.kind_names) == {"normal", "T-shirt-top", "Dress"}


def test_padded_files_are_what_the_networks_see(splits, tmp_path):
    image = splits.train.images[0]
    own_images.save_padded(image, tmp_path / "a.png")
    padded = np.asarray(Image.open(tmp_path / "a.png"))[None, ..., None]
    np.testing.assert_array_equal(to_network(padded, 32), to_network(image[None], 32))


def test_sneakers_are_drawn_by_the_seed(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(own_images, "ALARM_NORMALS", 3)
    monkeypatch.setattr(own_images, "ALARM_ANOMALIES", 4)
    for seed in (0, 1):
        own_images.write_sneakers(tmp_path / str(seed), seed, None)
    found = [sorted(p.name for p in (tmp_path / str(s)).rglob("*.png")) for s in (0, 1)]
    assert [len(names) for names in found] == [7, 7]
    assert found[0] != found[1]
    assert len(list((tmp_path / "0" / "normal").iterdir())) == 3


@pytest.mark.parametrize(("rate", "inside"), [(0.04, True), (0.0, False), (0.2, False)])
def test_observed_alarms_are_judged_by_what_few_images_can_tell(rate, inside):
    judged = own_images.judge(500, list(range(1, 200)), 189, rate)
    assert judged["inside"] is inside
    assert judged["mean"] == pytest.approx(11 / 200)
    assert judged["low"] < 0.05 < judged["high"]


def test_the_interval_holds_for_exchangeable_scores():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        scores = np.sort(rng.normal(size=139))
        threshold = scores[132]  # of 5 %: the 133rd of 139
        observed = float((rng.normal(size=600) > threshold).mean())
        inside += own_images.judge(600, scores, threshold, observed)["inside"]
    assert inside >= 168  # 90 % of 200, less three standard deviations


def test_the_table_says_what_is_not_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    assert own_images_tables.own_table().count("not measured yet") == 20
    (tmp_path / "own").mkdir()
    values = {"auroc": 0.98765, "pixel_auroc": 0.9, "aupro": 0.8, "training_seconds": 90}
    beside = {own_images_tables.NEIGHBOURS: {"auroc": 0.95}, "3 neighbours on pixels": {}}
    for texture, alarms in (("brick", 0.0), ("grass", 0.034), ("gravel", 0.8)):
        for count in ("20", "20m"):
            cell = f"texture-{texture}-{count}"
            kept = {**values, "cell": cell, "false_alarm_rate": alarms}
            kept |= {"baselines": beside} if count == "20" else {}
            (tmp_path / "own" / f"{cell}.json").write_text(json.dumps(kept))
    table = own_images_tables.own_table()
    name = "grass, synthetic, 20 labelled defects without masks"
    assert f"| {name} | **0.9877** | 0.9500 | 0.9000 | 0.8000 | 3% | 1.5 min |" in table
    name = "*mean of the three, 20 labelled defects without masks*"
    assert f"| {name} | **0.9877** | 0.9500 | 0.9000 | 0.8000 | 28% | 1.5 min |" in table
    name = "gravel, synthetic, 20 labelled defects with masks"
    assert f"| {name} | 0.9877 |  | 0.9000 | 0.8000 | 80% | 1.5 min |" in table


def test_the_table_tells_of_marked_images_where_they_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    (tmp_path / "own").mkdir()
    for seed, rate in ((0, 0.04), (1, 0.06)):
        judged = own_images.judge(500, list(range(1, 200)), 189, rate)
        kept = {"cell": f"alarms-{seed}", "alarms": judged, **({"marks": judged} if seed else {})}
        (tmp_path / "own" / f"alarms-{seed}.json").write_text(json.dumps(kept))
    table = own_images_tables.own_table()
    assert "on unseen normal images, 2 random splits and seeds: observed 4.0% to 6.0%" in table
    assert "marked pixel, which the same rate promises, 1 random splits and seeds: obs" in table
