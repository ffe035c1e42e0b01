"""Threshold, probability and map scale of a model or a run, set anew for new images."""

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from export import onnx_model
from export.calibrated_graph import map_branches, set_metadata, set_threshold, with_map_outputs
from export.new_images import Measured
from export.quantizer import Quantizer
from export.recalibrate import main
from export.recalibration import Before, fit, report
from export.runtime import Scorer
from ganad_tf.calibration.thresholds import best_f1_threshold, conformal_threshold
from ganad_tf.errors import ArtefactError, DataError, UsageError
from ganad_tf.evaluation.false_alarms import expected_rate
from ganad_tf.scoring import Detector


def brighter(images):
    return np.clip(images.astype(int) + 40, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folders(images, tmp_path_factory):
    """Images of a brighter camera: 50 normal ones, 25 anomalies."""
    place = tmp_path_factory.mktemp("new")
    for name, some in (("normal", images[::2][:50]), ("anomaly", images[1::2][:25])):
        (place / name).mkdir()
        for number, image in enumerate(brighter(some)):
            Image.fromarray(image[..., 0]).save(place / name / f"{number:03}.png")
    return place


@pytest.fixture(scope="module")
def plain(detector):
    return onnx_model.convert(detector)


@pytest.fixture(scope="module")
def paths(plain, model_path, splits, tmp_path_factory):
    """The tiny run in float32 and in int8."""
    folder = tmp_path_factory.mktemp("int8")
    metadata = Scorer(model_path).metadata
    quantizer = Quantizer(plain, metadata, splits.train.images[:32], folder)
    model = onnx.load(quantizer.write(frozenset()))
    set_metadata(model, metadata)
    onnx.save(model, folder / "model.int8.onnx")
    return {"float32": model_path, "int8": folder / "model.int8.onnx"}


def run(*arguments):
    main([str(argument) for argument in arguments])


def scores_of(path, folder):
    records = list(Scorer(path).score_files(sorted(folder.iterdir())))
    return np.array([record["score"] for record in records], np.float32)


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_a_copy_has_the_same_scores_and_decides_by_the_new_images(
    kind, paths, folders, images, tmp_path, capsys
):
    old, new = paths[kind], tmp_path / "new.onnx"
    content = old.read_bytes()
    run(old, folders / "normal", "--max-false-alarms", 0.1, "--output", new)
    assert old.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["new.onnx"]
    before, scorer = Scorer(old), Scorer(new)
    results = scorer.score(images)
    assert np.array_equal(results["score"], before.score(images)["score"])
    normal = scores_of(new, folders / "normal")
    assert scorer.threshold == conformal_threshold(normal, 0.1) != before.threshold
    assert np.array_equal(results["is_anomaly"], results["score"] > np.float32(scorer.threshold))
    assert np.array_equal(scorer.normal_scores, np.sort(normal))
    fitted = json.loads(scorer.metadata["calibration"])
    logits = fitted["slope"] * results["score"] + fitted["intercept"]
    np.testing.assert_allclose(results["probability"], 1 / (1 + np.exp(-logits)), atol=1e-4)
    # Without anomalies, the odds are even at the threshold.
    assert fitted["slope"] * scorer.threshold + fitted["intercept"] == pytest.approx(0)
    record = json.loads(scorer.metadata["recalibrated"])
    assert record["old_sha256"] == hashlib.sha256(content).hexdigest()
    assert record["threshold"]["old"] == before.threshold
    assert record["threshold"]["new"] == scorer.threshold
    assert (record["normal_images"], record["anomalous_images"]) == (50, 0)
    assert record["false_alarms"]["new"] == 4  # of 50; 5 of 51 are promised
    assert "false alarms to expect on new normal images: 9.8 %" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_the_heat_map_is_scaled_by_the_new_normal_images(kind, paths, folders, tmp_path):
    model = onnx.load(paths[kind])
    branches = map_branches(model)
    assert [branch.is_centred for branch in branches] == [False, True]  # errors, distances
    onnx.save(with_map_outputs(model, branches), tmp_path / "maps.onnx")
    run(paths[kind], folders / "normal", "--output", tmp_path / "new.onnx")
    scorer = Scorer(tmp_path / "new.onnx")
    files = sorted((folders / "normal").iterdir())
    pixels = np.stack([scorer.read(file) for file in files])
    sources = [branch.source for branch in branches]
    errors, distances = Scorer(tmp_path / "maps.onnx").score(pixels, outputs=sources).values()
    # A typical distance is 0 in the map. The scale is the quantile of the distances as they are.
    high = np.quantile(errors, 0.999), np.quantile(distances, 0.999)
    expected = (errors / high[0] + (distances - np.median(distances)) / high[1]) / 2
    result = scorer.score(pixels, outputs=("anomaly_map",))["anomaly_map"]
    np.testing.assert_allclose(result, expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_pixels_are_marked_by_the_peaks_of_the_new_normal_images(
    kind, paths, folders, images, tmp_path, capsys
):
    new = tmp_path / "new.onnx"
    run(paths[kind], folders / "normal", "--max-false-alarms", 0.1, "--output", new)
    before, scorer = Scorer(paths[kind]), Scorer(new)
    pixels = np.stack([scorer.read(file) for file in sorted((folders / "normal").iterdir())])
    maps = scorer.score(pixels, outputs=("anomaly_map",))["anomaly_map"]
    peaks = maps.max(axis=(1, 2))
    np.testing.assert_allclose(scorer.normal_peaks, np.sort(peaks), rtol=1e-5)
    limit = scorer.pixel_threshold
    assert limit == conformal_threshold(scorer.normal_peaks, 0.1) != before.pixel_threshold
    found = scorer.score(images, outputs=("anomaly_map", "mask"))
    np.testing.assert_array_equal(found["mask"], found["anomaly_map"] > np.float32(limit))
    record = json.loads(scorer.metadata["recalibrated"])
    assert record["pixel_threshold"]["old"] == before.pixel_threshold
    assert record["pixel_threshold"]["new"] == limit
    assert record["expected_marked_normal_rate"] == expected_rate(scorer.normal_peaks, limit)
    assert "10.00% of normal images have a marked pixel (conformal)" in capsys.readouterr().out


def test_a_model_of_an_earlier_version_gets_a_mask(paths, folders, images, tmp_path, capsys):
    model = onnx.load(paths["float32"])
    kept = [output for output in model.graph.output if output.name != "mask"]
    nodes = [node for node in model.graph.node if "mask" not in node.output]
    entries = [e for e in model.metadata_props if e.key not in ("pixel_threshold", "normal_peaks")]
    for field, values in (("output", kept), ("node", nodes)):
        model.graph.ClearField(field)
        getattr(model.graph, field).extend(values)
    model.ClearField("metadata_props")
    model.metadata_props.extend(entries)
    onnx.save(model, tmp_path / "old.onnx")
    run(tmp_path / "old.onnx", folders / "normal", "--output", tmp_path / "new.onnx")
    assert "pixel threshold: none before, " in capsys.readouterr().out
    found = Scorer(tmp_path / "new.onnx").score(images, outputs=("score", "anomaly_map", "mask"))
    limit = Scorer(tmp_path / "new.onnx").pixel_threshold
    np.testing.assert_array_equal(found["mask"], found["anomaly_map"] > np.float32(limit))
    scores = Scorer(paths["float32"]).score(images)["score"]
    np.testing.assert_array_equal(found["score"], scores)


def test_the_ranges_are_those_of_the_new_images_so_that_they_no_longer_warn(
    paths, folders, images, tmp_path
):
    run(paths["float32"], folders / "normal", "--output", tmp_path / "new.onnx")
    bright = brighter(images[::2][50:])
    assert "brightness" in Scorer(paths["float32"]).describe_shift(bright)
    scorer = Scorer(tmp_path / "new.onnx")
    assert scorer.describe_shift(bright) == ""
    assert scorer.ranges["images"] == 50
    again = scorer.describe_shift(brighter(bright))
    assert again.startswith("50 images differ from the 50 normal recalibration images: bright")
    assert "size" in scorer.ranges["percentiles"]


def test_twenty_labelled_anomalies_give_the_threshold_of_best_f1(paths, folders, tmp_path, capsys):
    new = tmp_path / "new.onnx"
    anomalies = folders / "anomaly"
    run(paths["float32"], "--anomalies", anomalies, folders / "normal", "--output", new)
    scores = [scores_of(new, folders / name) for name in ("normal", "anomaly")]
    truth = np.repeat([False, True], [50, 25])
    expected = best_f1_threshold(np.concatenate(scores).astype(np.float64), truth)
    assert Scorer(new).threshold == np.float32(expected)
    text = capsys.readouterr().out
    assert "50 normal images, 25 anomalies" in text
    assert "anomalies found among these: " in text


def test_copies_of_an_image_count_once(paths, folders, tmp_path, capsys):
    shutil.copytree(folders / "normal", tmp_path / "twice")
    for path in sorted((tmp_path / "twice").iterdir())[:10]:
        shutil.copy(path, path.with_name(f"again-{path.name}"))
    run(paths["float32"], tmp_path / "twice", "--output", tmp_path / "new.onnx")
    assert "50 normal images, 0 anomalies; 10 copies of these left out" in capsys.readouterr().out
    assert len(Scorer(tmp_path / "new.onnx").normal_scores) == 50


def test_a_copy_can_be_recalibrated_again(paths, folders, images, tmp_path):
    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    run(paths["int8"], folders / "normal", "--output", first)
    run(first, folders / "anomaly", "--output", second)
    assert Scorer(second).threshold == scores_of(second, folders / "anomaly").max()
    results = [Scorer(path).score(images)["score"] for path in (paths["int8"], second)]
    assert np.array_equal(*results)
    record = json.loads(Scorer(second).metadata["recalibrated"])
    assert record["old_sha256"] == hashlib.sha256(first.read_bytes()).hexdigest()


def test_it_works_without_tensorflow(model_path, folders, tmp_path):
    code = (
        "import sys; from export.recalibrate import main; main(sys.argv[1:]); "
        "assert not {'tensorflow', 'keras', 'tf2onnx'} & set(sys.modules)"
    )
    command = [model_path, folders / "normal", "--output", tmp_path / "new.onnx"]
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, command)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert (
        Scorer(tmp_path / "new.onnx").threshold == Scorer(tmp_path / "new.onnx").normal_scores[48]
    )


@pytest.fixture
def spoilt(model_path, folders, tmp_path):
    """Names of what cannot be used."""
    model = onnx.load(model_path)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    (tmp_path / "empty").mkdir()
    (tmp_path / "finished").mkdir()
    (tmp_path / "finished" / "metrics.json").write_text("{}")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "good.png").write_bytes((folders / "normal/000.png").read_bytes())
    (tmp_path / "broken" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "copies").mkdir()
    for number in range(5):
        content = (folders / "normal/000.png").read_bytes()
        (tmp_path / "copies" / f"{number}.png").write_bytes(content)
    (tmp_path / "text.onnx").write_text("no model")
    return {
        "MODEL": model_path,
        "NORMALS": folders / "normal",
        "PARENT": folders,
        "ANOMALIES": folders / "anomaly",
        "NEW": tmp_path / "new.onnx",
        "TMP": tmp_path,
    }


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("TMP/bare.onnx NORMALS --output NEW", ArtefactError, "with its metadata. Received"),
        ("TMP/text.onnx NORMALS --output NEW", ArtefactError, "expected an ONNX model. Received"),
        ("TMP/no.onnx NORMALS --output NEW", ArtefactError, "Received: no such file"),
        ("MODEL TMP/empty --output NEW", DataError, "NORMALS: .*a folder without any"),
        ("MODEL TMP/no --output NEW", DataError, "NORMALS must be a folder .*no such folder"),
        ("MODEL MODEL --output NEW", DataError, "NORMALS must be a folder .*, a file"),
        ("MODEL TMP/broken --output NEW", DataError, r"1 of 2 that cannot be read: .*bad\.png"),
        ("MODEL NORMALS --anomalies TMP/copies --output NEW", DataError, "1 pairs of equal pixels"),
        ("MODEL PARENT --anomalies ANOMALIES --output NEW", DataError, "25 files in both"),
        (
            "MODEL NORMALS --max-false-alarms 0.01 --output NEW",
            UsageError,
            r"at least 0\.02 with 50 normal images\. Received: 0\.01",
        ),
        ("MODEL NORMALS --max-false-alarms 0 --output NEW", UsageError, "--max-false-alarms must"),
        ("MODEL NORMALS --output MODEL", UsageError, "must be another file than MODEL"),
        ("MODEL NORMALS --output TMP/text.onnx", UsageError, "must be a new file. .*, which exist"),
        ("TMP/finished NORMALS", UsageError, "MODEL must .*; --run .*/finished recalibrates a run"),
        ("TMP/empty NORMALS", UsageError, "MODEL must be a model file.*, a folder; name a file in"),
        ("MODEL NORMALS", UsageError, "--output must name the new model file. Received: none"),
        ("MODEL --output NEW", UsageError, "Received: no NORMALS"),
        ("--output NEW", UsageError, "Received: neither of MODEL and --run"),
        ("MODEL NORMALS --run TMP/run", UsageError, "Received: both of MODEL and --run"),
        ("--run TMP/empty NORMALS", ArtefactError, "finished run, .*Received: an unfinished one"),
        ("--run TMP/empty NORMALS --output NEW", UsageError, "--output must be left out"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_written(line, error, message, spoilt):
    arguments = []
    for word in line.split():
        name, _, rest = word.partition("/")
        arguments.append(str(spoilt[name] / rest if rest else spoilt.get(name, word)))
    there = sorted(spoilt["TMP"].rglob("*"))
    content = spoilt["MODEL"].read_bytes()
    with pytest.raises(error, match=message):
        main(arguments)
    assert sorted(spoilt["TMP"].rglob("*")) == there
    assert spoilt["MODEL"].read_bytes() == content


def test_a_graph_of_another_form_is_refused_before_images_are_read(model_path, tmp_path):
    model = onnx.load(model_path)
    set_threshold(model, 1.0)
    comparison = next(node for node in model.graph.node if "is_anomaly" in node.output)
    comparison.op_type = "Less"
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ArtefactError, match=r"other\.onnx: expected is_anomaly to be .*: Less of"):
        run(tmp_path / "other.onnx", tmp_path / "no", "--output", tmp_path / "new.onnx")


@pytest.fixture
def finished_run(detector, tmp_path):
    detector.save(tmp_path / "run" / "detector")
    (tmp_path / "run" / "metrics.json").write_text("{}")
    return tmp_path / "run"


def test_a_run_carries_the_new_values_to_its_next_export(
    finished_run, detector, plain, folders, images, capsys
):
    run("--run", finished_run, folders / "normal", "--max-false-alarms", 0.1)
    assert "the next" in capsys.readouterr().out
    again = Detector.load(finished_run)
    scores = again.score_samples(images)
    assert np.array_equal(scores, detector.score_samples(images))
    scorer, before = again.scorer, detector.scorer
    assert scorer.threshold == conformal_threshold(scorer.normal_scores, 0.1) != before.threshold
    assert scorer.map_scales.keys() == before.map_scales.keys()
    assert scorer.map_scales != before.map_scales
    assert scorer.pixel_threshold == conformal_threshold(scorer.normal_peaks, 0.1)
    assert len(scorer.normal_peaks) == 50
    maps = again.run(images, outputs=("anomaly_map", "mask"))
    np.testing.assert_array_equal(maps["mask"], maps["anomaly_map"] > scorer.pixel_threshold)
    assert scorer.components == before.components
    assert again.image_ranges["images"] == 50
    kept = json.loads((finished_run / "detector/from_training/scorer.json").read_text())
    assert kept["threshold"] == before.threshold
    exported = onnx_model.finish(plain, again, "0" * 64, "blob")
    metadata = {entry.key: entry.value for entry in exported.metadata_props}
    assert json.loads(metadata["recalibrated"]) == scorer.explanation["recalibrated"]
    assert float(metadata["threshold"]) == scorer.threshold
    assert float(metadata["pixel_threshold"]) == scorer.pixel_threshold


def test_a_second_recalibration_keeps_what_training_wrote(finished_run, folders):
    (finished_run / "detector/image_ranges.json").unlink()  # as in a run of an earlier version
    for _ in range(2):
        run("--run", finished_run, folders / "normal")
    assert (finished_run / "detector/image_ranges.json").exists()
    kept = [path.name for path in (finished_run / "detector/from_training").iterdir()]
    assert kept == ["scorer.json"]


def test_a_run_is_changed_wholly_or_not_at_all(finished_run, folders, monkeypatch):
    files = {p: p.read_bytes() for p in finished_run.rglob("*") if p.is_file()}
    monkeypatch.setattr("ganad_tf.scoring.scorer.Scorer.to_dict", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("--run", finished_run, folders / "normal")
    assert {p: p.read_bytes() for p in finished_run.rglob("*") if p.is_file()} == files


def measured(scores):
    scores = np.asarray(scores, np.float32)
    statistics = {"brightness": np.linspace(90, 110, len(scores))}
    return Measured({}, 0, scores, statistics, {}, np.empty((0, 8, 8, 1), np.uint8))


def test_the_report_says_what_so_many_images_can_promise(rng):
    before = Before("0" * 64, -1.0, None)
    fitted = fit(before, measured(rng.normal(size=40)), None, None)
    text = "\n".join(report(fitted))
    rate = expected_rate(fitted.normal_scores, fitted.threshold.value)
    assert fitted.record["expected_false_alarm_rate"] == rate
    assert f"between {100 * rate['low']:.3g} % and {100 * rate['high']:.3g} %" in text
    assert "the lowest rate that 40 normal images can promise: 2.5 %" in text
    assert "the anomaly map keeps its scale" in text
    few = fit(before, measured([0.1, 0.2, 0.3]), None, None)
    assert "at most 25.02% false alarms" in "\n".join(report(few))


def test_the_stated_interval_holds_over_many_draws(rng):
    inside = 0
    for _ in range(200):
        fitted = fit(Before("", 0.0, None), measured(rng.normal(size=40)), None, 0.1)
        seen = (rng.normal(size=4000) > fitted.threshold.value).mean()
        rate = fitted.record["expected_false_alarm_rate"]
        inside += rate["low"] <= seen <= rate["high"]
    assert 0.84 <= inside / 200 <= 0.96  # promised: 0.9


def test_a_promise_is_refused_that_so_few_images_cannot_make():
    before = dataclasses.replace(Before("", 0.0, None), threshold=1.0)
    with pytest.raises(UsageError, match="with 9 normal images"):
        fit(before, measured(np.arange(9)), None, 0.05)
