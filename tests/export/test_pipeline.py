"""Exporting: all or nothing, hashes that match, versions that never change."""

import hashlib
import json

import pytest

from export import pipeline
from export.pipeline import export
from export.verify import MOST_SCORE_DIFFERENCE, Row, failures
from ganad_tf.errors import ArtefactError, UsageError

# Twelve decimals of an untrained network tell little; only the float32 formats are compared here.
FLOATS = ("saved_model", "onnx")


@pytest.fixture(autouse=True)
def _no_new_processes(monkeypatch):
    """Cold starts take seconds each and are measured by the benchmark."""
    compare = pipeline.compare
    monkeypatch.setattr(
        pipeline, "compare", lambda *arguments: compare(*arguments, cold_starts=False)
    )


def test_everything_is_described_and_hashed(detector, splits, tmp_path):
    rows = export(detector, splits, tmp_path, FLOATS)
    description = json.loads((tmp_path / "export.json").read_text())
    assert description["threshold"] == detector.scorer.threshold
    assert {"model.onnx", "saved_model/1/saved_model.pb"} <= set(description["files"])
    for name, entry in description["files"].items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == entry["sha256"]
    assert [row.name for row in rows][:4] == [
        "Keras",
        "SavedModel",
        "SavedModel, file bytes",
        "ONNX float32",
    ]
    assert max(row.differing for row in rows) == 0


def test_versions_count_up_and_are_never_replaced(detector, splits, tmp_path):
    for _ in range(2):
        export(detector, splits, tmp_path, ("saved_model",))
    assert sorted(path.name for path in (tmp_path / "saved_model").iterdir()) == ["1", "2"]
    with pytest.raises(UsageError, match=r"--version must be a new one. Received: 2"):
        export(detector, splits, tmp_path, ("saved_model",), version=2)


def test_disagreement_leaves_nothing_behind(detector, splits, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "failures", lambda *_: ["ONNX float32: expected. Received: x"])
    with pytest.raises(ArtefactError, match="ONNX float32"):
        export(detector, splits, tmp_path / "new", ("onnx",))
    assert not (tmp_path / "new").exists()


def row(name, tolerance, difference, differing, auroc):
    return Row(name, tolerance, difference, differing, auroc, 1.0)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (row("a", MOST_SCORE_DIFFERENCE, 2e-4, 0, 0.9), "expected scores within 0.0001"),
        (row("a", MOST_SCORE_DIFFERENCE, float("nan"), 0, 0.9), "expected scores within 0.0001"),
        (row("a", MOST_SCORE_DIFFERENCE, 0.0, 1, 0.9), "1 of 1000 differ"),
        (row("a", None, 0.5, 6, 0.9), "at least 99.5% of Keras's decisions. Received: 99.40%"),
        (row("a", None, 0.5, 5, 0.8989), "AUROC at most 0.001 below 0.9000"),
    ],
)
def test_each_kind_of_disagreement_is_named(other, said):
    (sentence,) = failures([row("Keras", MOST_SCORE_DIFFERENCE, 0.0, 0, 0.9), other], 1000)
    assert said in sentence


def test_agreement_says_nothing():
    good = [row("Keras", MOST_SCORE_DIFFERENCE, 0, 0, 0.9), row("int8", None, 0.3, 5, 0.8995)]
    assert failures(good, 1000) == []
