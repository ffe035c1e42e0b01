"""The model card: figures of this model with intervals, limits that follow from its data."""

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from export import pipeline
from export.limits import auroc_error, auroc_interval, share_interval
from export.model_card import describe_model
from export.model_card_text import render
from export.parity import Row
from export.pipeline import export
from export.quantize import Quantized
from ganad_tf.data.account import FolderAccount
from ganad_tf.settings.names import CROSS_FITTED

NOTHING = {"files": {}, "versions": {}}


def test_an_export_writes_a_card_with_its_own_figures(detector, splits, tmp_path, monkeypatch):
    compare = pipeline.compare
    monkeypatch.setattr(pipeline, "compare", lambda *given: compare(*given, time_starts=False))
    export(detector, splits, tmp_path, ("onnx",))
    description = json.loads((tmp_path / "export.json").read_text())
    card, text = description["model_card"], (tmp_path / "model_card.md").read_text()
    test = splits.test
    found = detector.run(test.images)["is_anomaly"]
    figures = card["figures"]
    assert figures["confusion"]["tp"] == int((found & test.is_anomaly).sum())
    assert sum(figures["confusion"].values()) == len(test)
    for name in ("auroc", "anomalies_found", "false_alarm_rate"):
        value, low, high = figures[name]
        assert low <= value <= high, name
    assert card["threshold"]["value"] == detector.scorer.threshold
    assert f"| AUROC | {figures['auroc'][0]:.4f} |" in text
    for known in (splits.fingerprint, description["files"]["model.onnx"]["sha256"], "MIT"):
        assert known in text
    assert text.count("\n## ") == 10


INT8 = Quantized(0.5, (), 1.0, 1, None, None, pixel_threshold=2.5)


def keras_row(**changes) -> Row:
    confusion = {"tn": 95, "fp": 5, "fn": 10, "tp": 90}
    row = Row("Keras", 100, 1e-4, 0.0, 0, 0.95, 1.0, auroc_error=0.01, confusion=confusion)
    return dataclasses.replace(row, **changes)


def test_without_a_test_set_there_are_no_figures(detector, splits):
    untested = dataclasses.replace(splits, fingerprint="")
    card = describe_model(detector, untested, [keras_row()], None)
    assert card["figures"] is card["data"] is None
    text = render(card, NOTHING)
    assert "exported without a test set" in text
    assert "How many anomalies it finds was not measured" in text


def test_more_false_alarms_than_promised_are_said_to_be_so(detector, splits):
    confusion = {"tn": 10, "fp": 90, "fn": 0, "tp": 100}
    card = describe_model(detector, splits, [keras_row(confusion=confusion)], INT8)
    text = render(card, NOTHING)
    assert "more false alarms than validation promises" in text
    assert "The int8 model has a threshold of its own, 0.5." in text
    assert "The int8 model has a pixel threshold of its own, 2.5." in text


def test_the_promise_on_marked_pixels_is_told(detector, splits):
    card = describe_model(detector, splits, [keras_row()], None)
    assert card["pixel_threshold"]["value"] == detector.scorer.pixel_threshold
    assert "at most 5.00% of normal images have a marked pixel" in render(card, NOTHING)


def corrected(detector, **counts):
    """The detector after corrections: of 2 normal images and 10 anomalies, which it learnt."""
    record = {
        "corrections": {"normal": 2, "anomaly": 10, "of_test_part": 0, **counts},
        "direction": {"weight": {"old": 0.1, "new": 0.5}},
    }
    explanation = {**detector.scorer.explanation, "recalibrated": record}
    new = copy.copy(detector)
    new.scorer = dataclasses.replace(detector.scorer, explanation=explanation)
    return new


def test_corrections_are_counted(detector, splits):
    normals = dataclasses.replace(
        splits, train=splits.train.subset(np.flatnonzero(~splits.train.is_anomaly))
    )
    before = render(describe_model(detector, normals, [keras_row()], None), NOTHING)
    assert "It learnt from normal images and synthetic anomalies only." in before
    assert "By 60 normal validation images, " in before
    text = render(describe_model(corrected(detector), normals, [keras_row()], None), NOTHING)
    assert "synthetic anomalies only" not in text
    assert "learnt from anomalies that were corrected after training (10)" in text
    assert text.count("By 60 normal validation images (2 of them corrected), ") == 2


def test_training_images_that_count_in_the_threshold_are_told(detector, splits):
    explanation = {**detector.scorer.explanation, CROSS_FITTED: 56}
    scorer = dataclasses.replace(detector.scorer, explanation=explanation)
    crossed = copy.copy(detector)
    crossed.scorer = scorer
    text = render(describe_model(crossed, splits, [keras_row()], None), NOTHING)
    assert text.count("By 60 normal images (56 of them training images, each measured by ") == 2
    assert "normal validation images" not in text
    assert "less strict than those of held-out images" in text
    # Where the map shows errors of the generator, only validation images count in it.
    crossed.scorer = dataclasses.replace(scorer, normal_peaks=scorer.normal_peaks[:4])
    text = render(describe_model(crossed, splits, [keras_row()], None), NOTHING)
    assert text.count("of them training images") == 1
    assert "By 4 normal validation images, " in text


def test_tested_images_that_were_corrected_are_counted(detector, splits):
    card = describe_model(corrected(detector), splits, [keras_row()], None)
    assert "the test part, which had no part in any choice" in render(card, NOTHING)
    detector = corrected(detector, of_test_part=3)
    text = render(describe_model(detector, splits, [keras_row()], None), NOTHING)
    assert "no part in any choice" not in text
    assert "Images of it that were corrected after training: 3." in text


def test_corrections_before_another_recalibration_are_told(detector, splits):
    new = corrected(detector, of_test_part=3)
    explanation = new.scorer.explanation
    record = {"earlier_corrections": explanation["recalibrated"]}
    new.scorer = dataclasses.replace(
        new.scorer, explanation={**explanation, "recalibrated": record}
    )
    text = render(describe_model(new, splits, [keras_row()], None), NOTHING)
    assert "Images of it that were corrected after training: 3." in text
    assert "learnt from anomalies that were corrected after training (10)" in text
    assert "of them corrected" not in text  # the threshold is from other images


def test_the_images_of_a_recalibration_are_not_called_validation(detector, splits):
    new = copy.copy(detector)
    new.image_ranges = {**detector.image_ranges, "source": "recalibration"}
    confusion = {"tn": 10, "fp": 90, "fn": 0, "tp": 100}
    card = describe_model(new, splits, [keras_row(confusion=confusion)], None)
    text = render(card, NOTHING)
    assert text.count("By 60 normal recalibration images, ") == 2
    assert "more false alarms than recalibration promises" in text
    assert "validation images" not in text


def test_own_images_are_named_by_their_folder(detector, splits):
    account = FolderAccount(Path("lines/bolts_1"), "own", ())
    own = dataclasses.replace(splits, normal_name="normal", folder=account)
    text = render(describe_model(detector, own, [keras_row()], None), NOTHING)
    assert text.startswith("# Model card: normal images of bolts\\_1 and what differs from them\n")
    assert "normal is normal" not in text


def test_names_from_users_stay_text(detector, splits):
    named = dataclasses.replace(splits, normal_name="a|b<script>\n# c")
    text = render(describe_model(detector, named, [keras_row()], None), NOTHING)
    assert "<script>" not in text
    assert "\n# c" not in text


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    [(0, 10, (0.0, 0.0, 0.3085)), (5, 10, (0.5, 0.1871, 0.8129)), (10, 10, (1.0, 0.6915, 1.0))],
)
def test_shares_have_exact_intervals(count, total, expected):
    # Tables of Clopper and Pearson, 95 %.
    assert share_interval(count, total) == pytest.approx(expected, abs=1e-4)


def test_a_share_of_nothing_is_not_known():
    assert share_interval(0, 0) == (None, None, None)


def test_the_auroc_has_delongs_error():
    # Placements 1, 1/2 and 1/2, 1: each has variance 1/8 over 2 images.
    is_anomaly = np.array([True, True, False, False])
    assert auroc_error(is_anomaly, np.array([3.0, 1.0, 2.0, 0.0])) == pytest.approx(0.125**0.5)
    assert auroc_error(is_anomaly[1:], np.array([1.0, 2.0, 0.0])) == float("inf")


def test_the_aurocs_interval_stays_within_its_range():
    value, low, high = auroc_interval(0.999, 0.002)
    assert 0.9 < low < value < high < 1
    assert auroc_interval(1.0, 0.0) == (1.0, None, None)
    assert auroc_interval(None, None) == (None, None, None)
