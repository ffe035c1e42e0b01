"""Exporting: all or nothing, hashes that match, versions that never change."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

from export import parity, pipeline
from export.parity import MAX_SCORE_DIFFERENCE, Row, compare, failures
from export.pipeline import Options, export
from export.runtime import Scorer
from ganad_tf.errors import ArtefactError, UsageError
from tests.export.conftest import fit_with_encoder

# Twelve decimals of an untrained network tell little; only the float32 formats are compared here.
FLOATS = ("saved_model", "onnx")


@pytest.fixture(autouse=True)
def _no_new_processes(monkeypatch):
    """Cold starts take seconds each and are measured by the benchmark."""
    compare = pipeline.compare
    monkeypatch.setattr(
        pipeline, "compare", lambda *arguments: compare(*arguments, time_starts=False)
    )


def test_everything_is_described_and_hashed(detector, splits, tmp_path):
    rows = export(detector, splits, tmp_path, FLOATS).rows
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
        export(detector, splits, tmp_path, ("saved_model",), Options(version=2))


def test_disagreement_leaves_nothing_behind(detector, splits, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "failures", lambda *_: ["ONNX float32: expected. Received: x"])
    with pytest.raises(ArtefactError, match="ONNX float32"):
        export(detector, splits, tmp_path / "new", ("onnx",))
    assert not (tmp_path / "new").exists()


def row(name, tolerance, difference, differing, auroc, error=0.0):
    return Row(name, 1000, tolerance, difference, differing, auroc, 1.0, None, error)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (row("a", MAX_SCORE_DIFFERENCE, 2e-4, 0, 0.9), "expected scores within 0.0001"),
        (row("a", MAX_SCORE_DIFFERENCE, float("nan"), 0, 0.9), "expected scores within 0.0001"),
        (row("a", MAX_SCORE_DIFFERENCE, 0.0, 1, 0.9), "1 of 1000 differ"),
        (
            dataclasses.replace(row("a", MAX_SCORE_DIFFERENCE, 0.0, 0, 0.9), differing_pixels=3),
            "expected Keras's masks. Received: 3 pixels",
        ),
        (row("a", None, 0.5, 10, 0.9), "Received: 10 of 1000, at least 0.54%"),
        (row("a", None, 0.5, 9, 0.8979, 0.0005), "AUROC at most 0.001 below 0.9000"),
    ],
)
def test_each_kind_of_disagreement_is_named(other, said):
    (sentence,) = failures([row("Keras", MAX_SCORE_DIFFERENCE, 0.0, 0, 0.9), other])
    assert said in sentence


def test_pixels_near_the_pixel_threshold_may_be_marked_otherwise():
    heat = np.array([[[1.9, 1.999, 2.001, 2.1]]])
    masks = heat > 2, np.array([[[True, True, False, True]]])
    assert parity._differing_pixels(2.0, (heat, masks[0]), (heat, masks[1])) == 1


def test_agreement_says_nothing():
    good = [
        row("Keras", MAX_SCORE_DIFFERENCE, 0, 0, 0.9),
        row("int8", None, 0.3, 9, 0.8985, 0.0005),
    ]
    assert failures(good) == []


@pytest.fixture
def no_int8(monkeypatch):
    """No int8 model is good enough."""

    def refuse(*_):
        raise ArtefactError("ONNX int8: expected more. Received: less")

    monkeypatch.setattr(pipeline, "quantize", refuse)


def test_int8_that_is_not_good_enough_does_not_stop_the_others(detector, splits, tmp_path, no_int8):
    (tmp_path / "model.int8.onnx").write_text("of an earlier export")
    exported = export(detector, splits, tmp_path)
    description = json.loads((tmp_path / "export.json").read_text())
    assert set(description["formats"]) == {"saved_model", "onnx"} == set(exported.files)
    reason = "ONNX int8: expected more. Received: less"
    assert description["left_out"] == exported.left_out == {"int8": reason}
    assert not (tmp_path / "model.int8.onnx").exists()


def test_int8_that_fails_on_the_test_set_is_left_out(detector, splits, tmp_path, monkeypatch):
    monkeypatch.setattr(
        pipeline,
        "failures",
        lambda rows, *_: ["too bad"] if any(row.tolerance is None for row in rows) else [],
    )
    exported = export(detector, splits, tmp_path)
    assert exported.left_out == {"int8": "too bad"}
    assert "ONNX int8" not in [row.name for row in exported.rows]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "export.json",
        "model.onnx",
        "model_card.md",
        "saved_model",
    ]
    with pytest.raises(ArtefactError, match="too bad"):
        export(detector, splits, tmp_path / "named", ("onnx", "int8"))
    assert not (tmp_path / "named").exists()


def test_beside_a_pretrained_encoder_int8_is_left_out(
    encoder, colour_generator, colour_data, encoder_plan, tmp_path
):
    # Maps of one place, as at 32 pixels, do not occur in runs; the converter cannot read them.
    plan = dataclasses.replace(encoder_plan, encoder_size=64)
    detector = fit_with_encoder(encoder, colour_generator, colour_data[0], plan)
    exported = export(detector, colour_data[0], tmp_path)
    assert set(exported.files) == {"saved_model", "onnx"}
    assert "--formats saved_model,onnx,int8" in exported.left_out["int8"]
    assert not (tmp_path / "model.int8.onnx").exists()


def test_int8_asked_for_by_name_must_be_good_enough(detector, splits, tmp_path, no_int8):
    with pytest.raises(ArtefactError, match="ONNX int8"):
        export(detector, splits, tmp_path / "new", ("onnx", "int8"))
    assert not (tmp_path / "new").exists()


def test_an_export_converts_once(detector, splits, tmp_path, monkeypatch):
    calls, convert = [], pipeline.onnx_model.convert
    monkeypatch.setattr(
        pipeline.onnx_model, "convert", lambda *given: calls.append(given) or convert(*given)
    )
    export(detector, splits, tmp_path, ("onnx", "int8"))
    assert len(calls) == 1
    made = json.loads((tmp_path / "export.json").read_text())["int8"]
    assert made["tries"] >= 1
    assert made["threshold"] == Scorer(tmp_path / "model.int8.onnx").threshold


def test_a_file_of_an_earlier_export_does_not_stay_beside_the_new_ones(
    detector, splits, tmp_path, caplog
):
    (tmp_path / "model.int8.onnx").write_text("with another threshold")
    export(detector, splits, tmp_path, ("onnx",))
    assert (tmp_path / "model.onnx").exists()
    assert not (tmp_path / "model.int8.onnx").exists()
    assert "model.int8.onnx, of an earlier export, is removed" in caplog.text


def test_no_version_is_named_without_a_saved_model(detector, splits, tmp_path):
    export(detector, splits, tmp_path, ("onnx",))
    assert json.loads((tmp_path / "export.json").read_text())["version"] is None


@pytest.mark.parametrize("name", ["line [3]", "a*b?"])
def test_a_folder_of_any_name_will_do(detector, splits, tmp_path, name):
    exported = export(detector, splits, tmp_path / name, FLOATS)
    # As the verify command does it, at the final place.
    rows = compare(
        detector,
        splits.test.images,
        splits.test.is_anomaly,
        tmp_path / name,
        exported.files,
        time_starts=False,
    )
    assert failures(rows) == []
    assert {"SavedModel", "ONNX float32"} <= {row.name for row in rows}


def test_the_saved_model_is_compared_on_some_images(detector, splits, tmp_path, monkeypatch):
    monkeypatch.setattr(parity, "SAME_GRAPH", 10)
    exported = export(detector, splits, tmp_path, FLOATS)
    compared = {row.name: row for row in exported.rows}
    every = len(splits.test)
    assert {name: row.images for name, row in compared.items() if "OpenVINO" not in name} == {
        "Keras": every,
        "SavedModel": 10,
        "SavedModel, file bytes": 10,
        "ONNX float32": every,
    }
    # A figure of some images beside those of all would mislead.
    assert compared["SavedModel"].auroc is None
    assert compared["SavedModel"].confusion is None
    assert compared["SavedModel"].score_difference < 1e-5
