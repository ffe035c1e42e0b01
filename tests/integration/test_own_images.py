"""`train.py --data` on a folder of generated images, in colour."""

import csv
import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganad_tf.errors import run_cli
from ganad_tf.scoring import Detector

ROOT = Path(__file__).parents[2]
SHORT = (
    *("--epochs", "1", "--steps-per-epoch", "3", "--batch-size", "16", "--width", "4"),
    *("--image-size", "32", "--encoder", "none"),
)


@pytest.fixture
def photos(tmp_path, rng):
    """60 normal and 12 anomalous photos, of several sizes."""
    for kind, count in (("normal", 60), ("anomaly/big scratch", 6), ("anomaly/löcher", 6)):
        folder = tmp_path / "my photos" / kind
        folder.mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(90, 160, (40 + i, 50, 3), dtype=np.uint8)
            if kind != "normal":
                pixels[10:20] = 255
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "my photos"


@pytest.fixture
def train(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    command = importlib.import_module("train")

    def run(*flags):
        monkeypatch.setattr(sys, "argv", ["train.py", *map(str, flags)])
        return run_cli(command.main)

    return run


@pytest.mark.parametrize("protocol", ["seen", "none"])
def test_a_folder_is_trained_on_and_scored(photos, train, tmp_path, protocol):
    run = tmp_path / "run"
    assert train("--data", photos, "--output", run, "--protocol", protocol, *SHORT) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["protocol"] == protocol
    assert metrics["n_normal"] == 18
    assert metrics["pixel_auroc"] is metrics["aupro"] is metrics["pixel_f1"] is None
    assert set(metrics["auroc_by_kind"]) <= {"anomaly/big scratch", "anomaly/löcher"} | {
        "big scratch",
        "löcher",
    }
    assert "my photos" in (run / "report.html").read_text()
    with (run / "split.csv").open(newline="", encoding="utf-8") as file:
        assert {row["part"] for row in csv.DictReader(file)} >= {"train", "validation", "test"}
    assert Detector.load(run).image_shape == (32, 32, 3)
    again = tmp_path / "again"
    flags = ("--data", photos, "--output", again, "--protocol", protocol)
    assert train(*flags, "--split", run / "split.csv", *SHORT) == 0
    assert (again / "scores.csv").read_bytes() == (run / "scores.csv").read_bytes()


def test_normal_images_alone_give_a_detector_and_its_false_alarms(photos, train, tmp_path, capsys):
    shutil.rmtree(photos / "anomaly")
    run = tmp_path / "run"
    assert train("--data", photos, "--output", run, "--baselines", *SHORT) == 0
    assert "no anomaly to test with; at the threshold" in capsys.readouterr().out
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["auroc"] is None
    assert metrics["n_anomaly"] == 0
    page = (run / "report.html").read_text()
    assert "there was none to test with" in page
    assert "Which kinds are missed" not in page
    assert not (run / "plots" / "roc.png").exists()
    assert (run / "plots" / "mistakes.png").exists()
    assert Detector.load(run).scorer.explanation["anomalous_images"] == 0


def test_few_photos_of_an_object_promise_more_with_training_images(train, tmp_path, rng):
    """Every photo shows a plate at the same place; the validation part holds two of 32 photos."""
    folder, run = tmp_path / "plates" / "normal", tmp_path / "run"
    folder.mkdir(parents=True)
    for number in range(32):
        pixels = rng.integers(30, 70, (48, 48), dtype=np.uint8)
        pixels[12:36, 8:40] += 120
        Image.fromarray(pixels).save(folder / f"{number}.png")
    short = [flag for flag in SHORT if flag not in ("--encoder", "none")]
    flags = ("--data", tmp_path / "plates", "--output", run, *short)
    assert train(*flags, "--max-false-alarms", "0.02") == 2  # 22 photos cannot, whatever they show
    assert not run.exists()
    assert train(*flags) == 0
    plan = json.loads((run / "plan.json").read_text())
    assert plan["cross_fit"]
    assert plan["max_false_alarms"] is None
    scorer = json.loads((run / "metrics.json").read_text())["scorer"]
    assert scorer["cross_fitted_images"] == 20
    assert "13.05%" in scorer["threshold"]  # two of 22 stay above
    report = (run / "report.html").read_text()
    assert "the threshold rests on 22 normal images. 20 of them are training images" in report
    assert "22 normal images promise 13% false alarms, not 5%" in report
    assert len(Detector.load(run).scorer.normal_scores) == 22
    # What is trained on the training images says nothing about new ones. The run is not lost.
    assert train(*flags, "--score", "classifier", "--max-false-alarms", "0.1", "--overwrite") == 2
    assert (run / "metrics.json").exists()


def test_masks_give_pixel_figures_and_the_report_tells_of_the_folder(train, tmp_path, rng):
    root, run = tmp_path / "Fliesen ü", tmp_path / "run"
    for folder, count in (("train/good", 40), ("test/good", 8), ("test/großes Loch", 6)):
        (root / folder).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(90, 160, (32, 32), dtype=np.uint8)
            if "Loch" in folder:
                pixels[8:16, 8:16] = 0
            Image.fromarray(pixels).save(root / folder / f"{i}.png")
    mask = np.zeros((32, 32), np.uint8)
    mask[8:16, 8:16] = 255
    (root / "ground_truth" / "großes Loch").mkdir(parents=True)
    for i in range(6):
        Image.fromarray(mask).save(root / "ground_truth" / "großes Loch" / f"{i}_mask.png")
    shutil.copy(root / "train/good/3.png", root / "train/good/3 again.png")
    (root / "train/good/broken.png").write_bytes(b"no image")

    assert train("--data", root, "--output", run, "--skip-bad", *SHORT) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    # Black on grey stands out in any map.
    assert metrics["pixel_auroc"] > 0.7
    assert 0 < metrics["aupro"] <= 1
    assert 0 <= metrics["pixel_f1"] <= 1
    assert metrics["pixel_threshold"] == Detector.load(run).scorer.pixel_threshold
    marked = metrics["expected_marked_normal_rate"]
    assert 0 <= marked["low"] < marked["mean"] < marked["high"] <= 1
    assert round(metrics["marked_normal_rate"] * 8, 9).is_integer()
    expected = metrics["expected_false_alarm_rate"]
    assert 0 <= expected["low"] < expected["mean"] < expected["high"] <= 1
    assert expected["confidence"] == 0.9
    with (run / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["index"] for row in rows] == [str(i) for i in range(14)]
    assert sorted(row["path"] for row in rows if row["label"] == "1") == [
        f"test/großes Loch/{i}.png" for i in range(6)
    ]
    report = (run / "report.html").read_text(encoding="utf-8")
    for text in (
        "Which kinds are missed",
        "most suspicious normal images",
        "Pixel AUROC",
        "Expected on new normal images",
        "train/good/3 again.png</code> (good,",
        "Files left out: 1",
        "train/good/broken.png",
        "outline of the defect",
        "green line surrounds the pixels that are marked",
        "Pixel F1",
        "with a marked pixel",
    ):
        assert text in report
    assert (run / "plots" / "overlays.png").exists()


def test_masks_of_labelled_defects_are_learnt_from(photos, train, tmp_path, capsys):
    for path in (photos / "anomaly").rglob("*.png"):
        with Image.open(path) as image:
            mask = np.zeros(image.size[::-1], np.uint8)
        mask[10:20] = 255
        name = path.relative_to(photos / "anomaly").with_suffix("")
        target = photos / "ground_truth" / f"{name}_mask.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(target)
    run = tmp_path / "run"
    assert train("--data", photos, "--output", run, *SHORT) == 0
    counts = json.loads((run / "split.json").read_text())["counts"]
    learnt = counts["train"]["anomaly"]
    assert (
        f"{learnt} anomalies have a mask and are pasted into other images"
        in capsys.readouterr().out
    )
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["pixel_auroc"] > 0.5
    # Other masks are other data to learn from: not to be resumed with, nor mistaken for the same.
    first = json.loads((run / "split.json").read_text())["fingerprint"]
    shutil.rmtree(photos / "ground_truth")
    assert train("--data", photos, "--output", tmp_path / "other", *SHORT) == 0
    other = json.loads((tmp_path / "other" / "split.json").read_text())
    assert other["counts"]["train"] == counts["train"]
    assert other["fingerprint"] != first


def test_bad_files_are_listed_before_training(photos, train, tmp_path, capsys):
    (photos / "normal" / "broken.png").write_bytes(b"no image")
    run = tmp_path / "run"
    assert train("--data", photos, "--output", run, *SHORT) == 1
    assert "broken.png" in capsys.readouterr().err
    assert not run.exists()
    assert train("--data", photos, "--output", run, "--skip-bad", *SHORT) == 0


def test_a_protocol_of_fashion_mnist_is_refused(photos, train, capsys):
    assert train("--data", photos, "--protocol", "few") == 2
    assert "Received: few" in capsys.readouterr().err


def test_a_rate_that_cannot_be_promised_is_refused_before_training(photos, train, tmp_path, capsys):
    run = tmp_path / "run"
    assert train("--data", photos, "--output", run, "--max-false-alarms", "0.001", *SHORT) == 2
    assert (
        "--max-false-alarms must be at least 0.2 with 4 normal validation images; add photos"
        in capsys.readouterr().err
    )
    assert not run.exists()


def test_a_run_starts_from_another_one_and_its_images_keep_their_part(photos, train, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert train("--data", photos, "--output", first, *SHORT) == 0
    for number in range(20):
        pixels = np.full((40, 50, 3), 60 + number, np.uint8)
        Image.fromarray(pixels).save(photos / "normal" / f"new-{number}.png")
    assert train("--from", first, "--output", second) == 0

    def parts(run):
        with (run / "split.csv").open(encoding="utf-8") as file:
            return {row["path"]: row["part"] for row in csv.DictReader(file)}

    before, after = parts(first), parts(second)
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 20
    assert {after[f"normal/new-{number}.png"] for number in range(20)} == {
        *("train", "validation", "test"),
    }
    start = json.loads((second / "start.json").read_text())
    assert start["run"] == str(first)
    assert train("--from", first, "--output", first, "--overwrite") == 2
    assert (first / "metrics.json").exists()
