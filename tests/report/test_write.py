"""What a report says about a run, from its numbers."""

import dataclasses
import re
from types import SimpleNamespace

import numpy as np
import pytest

from ganad_tf.data.account import FolderAccount
from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.evaluation.false_alarms import expected_rate
from ganad_tf.evaluation.metrics import evaluate
from ganad_tf.evaluation.test_set import OUR_MODEL
from ganad_tf.plan import make_plan
from ganad_tf.report.write import EvaluatedRun, write_run_report
from ganad_tf.run_folder import HISTORY, PLOTS, REPORT
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.training.objectives import DISCRIMINATOR_LOSSES, GENERATOR_LOSSES

NAMES = ("T-shirt/top", "Sneaker")
NORMAL_SCORES = np.arange(199.0)


def part(count):
    return LabelledImages(
        np.random.default_rng(0).integers(0, 256, (count, 28, 28, 1), np.uint8),
        np.arange(count, dtype=np.int64) % 2,
        NAMES,
        frozenset([1]),
    )


def predict(images, outputs):
    shape = images.shape[:3]
    return {"anomaly_map": np.zeros(shape), "reconstruction": images}


def evaluated(threshold=188.0, test_scores=None, normal_scores=NORMAL_SCORES, **settings):
    """A run whose detector is a stand-in."""
    config = RunConfig(**settings)
    splits = Splits(part(20), part(20), part(40), "Sneaker", "seen", "0" * 64)
    scores = np.where(splits.test.is_anomaly, 300.0, 10.0) if test_scores is None else test_scores
    test = splits.test
    metrics = {
        **evaluate(scores, test.is_anomaly, test.kinds, NAMES, threshold),
        "expected_false_alarm_rate": expected_rate(normal_scores, threshold),
        "pixel_auroc": None,
        "aupro": None,
        "pixel_f1": None,
        "marked_normal_rate": 0.25,
        "expected_marked_normal_rate": expected_rate(normal_scores, 150.0),
        "baselines": {},
        "best_epoch": 1,
        "training_seconds": 125.0,
        "scored_per_second": 1000.0,
        "peak_memory_mb": 2048,
        "execution": "CPU, float32",
        "scorer": {
            "score": "features",
            "why": "as asked for",
            "threshold": "best F1 on validation",
            "validation_auroc": {},
            "normal_images": len(normal_scores),
            "anomalous_images": 30,
        },
    }
    scorer = SimpleNamespace(
        threshold=threshold,
        normal_scores=normal_scores,
        components=(),
        pixel_threshold=1.5,
        normal_peaks=normal_scores / 100,
        explanation={"pixel_threshold": "at most 5.00% of normal images have a marked pixel"},
    )
    detector = SimpleNamespace(run=predict, scorer=scorer)
    plan = make_plan(config, splits)
    return EvaluatedRun(
        config, plan, splits, detector, metrics, {OUR_MODEL: scores}, "python train.py --normal 7"
    )


@pytest.fixture
def folder(tmp_path):
    names = ("generator", *GENERATOR_LOSSES, *DISCRIMINATOR_LOSSES)
    header = ",".join(["epoch", *names, "validation_auroc", "images_per_second", "seconds"])
    row = ",".join(["1.0", *["0.5"] * len(names), "0.9", "100.0", "125.0"])
    (tmp_path / HISTORY).write_text(f"{header}\n{row}\n")
    return tmp_path


def page(folder, run):
    write_run_report(folder, run)
    return " ".join((folder / REPORT).read_text(encoding="utf-8").split())


def test_the_page_tells_what_was_learnt_decided_and_measured(folder):
    text = page(folder, evaluated())
    for sentence in (
        "Fashion-MNIST: Sneaker against the rest",
        "10 normal and 10 labelled anomalous images",
        "python train.py --normal 7",
        "What this run does, and why",
        "2 min 5 s",
        "2.0 GiB",
        str(folder / "detector" / "scorer.json"),
    ):
        assert sentence in text
    assert {path.stem for path in (folder / PLOTS).iterdir()} == {
        *("samples", "histogram", "roc", "kinds", "confusion", "mistakes", "training")
    }


def test_anomalies_that_synthetic_ones_replaced_are_not_called_learnt_from(folder, monkeypatch):
    received = []

    def describe(splits, *_):
        received.append(splits)

    monkeypatch.setattr("ganad_tf.report.write.describe_own_data", describe)
    run = evaluated(synthetic=1.0)
    account = FolderAccount(folder, "own", ())
    run = dataclasses.replace(run, splits=dataclasses.replace(run.splits, folder=account))
    assert "10 normal and 0 labelled anomalous images" in page(folder, run)
    (splits,) = received
    assert not splits.train.is_anomaly.any()
    assert splits.test is run.splits.test


def test_every_reason_of_the_plan_is_told(folder):
    run = evaluated()
    reasons = {name: f"because of {name}" for name in run.plan.reasons}
    told = page(
        folder, dataclasses.replace(run, plan=dataclasses.replace(run.plan, reasons=reasons))
    )
    for reason in reasons.values():
        assert reason in told


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "9 clusters"),
        ({"balance": "kind"}, "their kinds"),
        ({"synthetic": 1.0}, None),  # no labelled anomaly is learnt from
    ],
)
def test_the_groups_are_those_that_anomalies_are_drawn_from(folder, settings, told):
    text = page(folder, evaluated(**settings))
    assert ("Groups of labelled anomalies" in text) == (told is not None)
    assert told is None or re.search(f"Groups of labelled anomalies(<[^>]*>| )*{told}", text)


def test_false_alarms_are_told_beside_those_expected(folder):
    text = page(folder, evaluated())
    # The threshold is the 189th of 199 scores: the mean of Beta(11, 189) is 11 / 200.
    assert "Expected on new normal images: 5.5% false alarms" in text
    assert "as the threshold rests on 199 normal validation images" in text
    assert "Observed in the test: 0 of 20 (0.0%)" in text
    assert "seem to differ" not in text


def test_more_false_alarms_than_chance_allows_are_pointed_out(folder):
    text = page(folder, evaluated(test_scores=np.full(40, 250.0)))
    assert "Observed in the test: 20 of 20 (100.0%)" in text
    assert "The test images seem to differ from those that the threshold rests on" in text


@pytest.mark.parametrize(
    ("count", "n_anomaly", "settings", "rate", "is_low"),
    [
        (199, 3, {}, "0.01", False),
        (4, 3, {}, "0.2", True),
        (50, 3, {}, "0.02", False),
        (4, 20, {}, "0.2", False),  # the threshold of best F1
        (4, 3, {"max_false_alarms": 0.3}, "0.2", False),
    ],
)
def test_no_rate_is_advised_that_so_few_images_cannot_promise(
    folder, count, n_anomaly, settings, rate, is_low
):
    run = evaluated(threshold=1.0, normal_scores=np.arange(float(count)), **settings)
    run.metrics["scorer"]["anomalous_images"] = n_anomaly
    text = page(folder, run)
    assert f"--max-false-alarms {rate} --overwrite" in text
    told = "4 normal validation images can promise 20% false alarms at best, not 5%; add photos"
    assert (told in text) == is_low


@pytest.mark.parametrize(("threshold", "doubted"), [(188.0, False), (188.5, True)])
def test_a_threshold_chosen_on_the_same_scores_is_pointed_out(folder, threshold, doubted):
    text = page(folder, evaluated(threshold))
    assert ("chosen on the same validation images" in text) == doubted


def test_marked_normal_images_are_told_beside_those_expected(folder):
    text = page(folder, evaluated())
    assert "A pixel is marked where the anomaly map is above 1.5 (at most 5.00% of" in text
    # Of 199 normal peaks, 49 are above.
    assert "Expected on new normal images: 24.5% with a marked pixel" in text
    assert "Observed in the test: 25.0%." in text


def test_an_own_folder_gives_the_page_its_name(folder, tmp_path):
    text = page(folder, evaluated(data=str(tmp_path)))
    assert f"{tmp_path.name}: normal images against the rest" in text
    assert "A dual-discriminator GAN learnt what normal images look like from 10" in text


@pytest.mark.parametrize(
    ("components", "told", "not_told"),
    [
        ((), "A dual-discriminator GAN learnt what Sneaker looks like", "Frozen ImageNet"),
        (("encoder_features", "features"), "Frozen ImageNet features (none) join its", "no part"),
        (("encoder_features", "pixels"), "Frozen ImageNet features (none) give the score", "GAN"),
    ],
)
def test_the_page_begins_with_what_the_score_rests_on(folder, components, told, not_told):
    run = evaluated()
    run.detector.scorer.components = [SimpleNamespace(name=name) for name in components]
    text = page(folder, run).split("<h2")[0]
    assert told in text
    assert not_told not in text
