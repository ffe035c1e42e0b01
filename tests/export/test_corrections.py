"""Corrections of a person: in the threshold of a model, and in what a run has learnt."""

import argparse
import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from export.corrections import read_corrections
from export.recalibrate import main
from export.run import load_run
from export.runtime import Scorer
from ganad_tf.data.account import SplitEntry
from ganad_tf.data.folder.split_file import write_split
from ganad_tf.data.load import load_splits
from ganad_tf.errors import DataError, UsageError
from ganad_tf.plan import Plan
from ganad_tf.scoring import Detector
from ganad_tf.scoring.refit import refit
from ganad_tf.settings.names import CROSS_FITTED, ENCODER_FEATURES, LABEL_DIRECTION
from ganad_tf.settings.run_config import RunConfig
from tests.export.conftest import fit_with_encoder


def table(path, *lines, header="path,label"):
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.fixture
def folder(images, tmp_path):
    """Ten images as files: even ones are normal, odd ones anomalies."""
    for number, image in enumerate(images[:10]):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{number}.png")
    return tmp_path


def test_lines_with_a_label_count_and_other_columns_do_not(folder):
    path = table(
        folder / "c.csv", "0.png,0.3,normal", "1.png,2,anomaly", "2.png,1,", "0.png,0.3,normal",
        header="path,score,label",
    )  # fmt: skip
    found = read_corrections(path)
    assert found.normal == (str(folder / "0.png"),)
    assert found.anomaly == (str(folder / "1.png"),)


def test_names_with_unusual_line_ends_are_read_as_a_csv_writer_leaves_them(folder):
    names = ["a\u2028b.png", "a\x0bb.png", "a\x85b.png", "a\nb.png"]
    with (folder / "c.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label"])
        for name in names:
            shutil.copy(folder / "0.png", folder / name)
            table.writerow([name, "normal"])
    found = read_corrections(folder / "c.csv")
    assert found.normal == tuple(str(folder / name) for name in names)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["9.png,normal", "no.png,anomaly"], "in line 3, .*Received: 'no.png', not there"),
        (["1.png,normal", "./1.png,anomaly"], "as normal in line 2 and as anomaly in line 3"),
        (["1.png,defect"], "normal or anomaly in line 2, or no label. Received: 'defect'"),
        (["1.png,"], "expected labelled images. Received: none"),
        (['1.png,"normal'], "expected a CSV file. Received"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(folder, lines, message):
    with pytest.raises(DataError, match=message):
        read_corrections(table(folder / "c.csv", *lines))


def test_a_file_without_the_columns_or_missing_is_refused(folder):
    with pytest.raises(DataError, match=r"columns path and label\. Received: file,kind"):
        read_corrections(table(folder / "c.csv", "a,b", header="file,kind"))
    with pytest.raises(DataError, match=r"--corrections: .*No such file"):
        read_corrections(folder / "no.csv")


def brighter(images):
    return np.clip(images.astype(int) + 40, 0, 255).astype(np.uint8)


def recalibrate(*arguments):
    main([str(argument) for argument in arguments])


def test_a_model_keeps_its_normal_scores_and_adds_the_corrected_images(model_path, folder, capsys):
    path = table(folder / "c.csv", "0.png,normal", "2.png,normal", "1.png,anomaly")
    recalibrate(model_path, "--corrections", path, "--output", folder / "new.onnx")
    old, new = Scorer(model_path), Scorer(folder / "new.onnx")
    scores = [record["score"] for record in old.score_files([folder / "0.png", folder / "2.png"])]
    expected = np.sort(np.concatenate([old.normal_scores, scores]).astype(np.float32))
    np.testing.assert_array_equal(new.normal_scores, expected)
    assert new.ranges == old.ranges
    assert new.pixel_threshold == old.pixel_threshold
    np.testing.assert_array_equal(new.normal_peaks, old.normal_peaks)
    record = json.loads(new.metadata["recalibrated"])
    assert (record["normal_images"], record["anomalous_images"]) == (62, 1)
    assert record["stored_normal_scores"] == 60
    assert record["corrections"]["normal"] == 2
    text = capsys.readouterr().out
    assert "2 normal images and 1 anomaly are corrections; 60 normal scores are the model's" in text


def test_a_corrected_model_is_not_corrected_again_without_new_normal_images(model_path, folder):
    (folder / "normals").mkdir()
    for number in range(4, 10, 2):
        shutil.copy(folder / f"{number}.png", folder / "normals")
    path = table(folder / "c.csv", "0.png,normal")
    recalibrate(model_path, "--corrections", path, "--output", folder / "new.onnx")
    with pytest.raises(UsageError, match=r"count twice.* Received: .*new\.onnx, corrected at 20"):
        recalibrate(folder / "new.onnx", "--corrections", path, "--output", folder / "newer.onnx")
    assert not (folder / "newer.onnx").exists()
    given = folder / "new.onnx", folder / "normals", "--corrections", path
    recalibrate(*given, "--output", folder / "newer.onnx")
    assert len(Scorer(folder / "newer.onnx").normal_scores) == 4


def test_corrections_join_new_normal_images(model_path, folder, images):
    (folder / "normals").mkdir()
    for number, image in enumerate(images[20:80:2]):
        Image.fromarray(image[..., 0]).save(folder / "normals" / f"{number}.png")
    path = table(folder / "c.csv", "0.png,normal")
    new = folder / "new.onnx"
    recalibrate(model_path, folder / "normals", "--corrections", path, "--output", new)
    assert len(Scorer(new).normal_scores) == 31
    assert Scorer(new).ranges["images"] == 31


def test_equal_pixels_with_both_labels_are_refused_and_nothing_is_written(model_path, folder):
    shutil.copy(folder / "0.png", folder / "again.png")
    path = table(folder / "c.csv", "0.png,normal", "again.png,anomaly")
    there = sorted(folder.iterdir())
    with pytest.raises(DataError, match=r"1 pairs of equal pixels, such as .*0\.png and .*again"):
        recalibrate(model_path, "--corrections", path, "--output", folder / "new.onnx")
    assert sorted(folder.iterdir()) == there


def test_a_refitted_detector_is_the_one_that_had_the_labels_from_the_start(
    encoder, colour_generator, colour_data, encoder_plan, with_encoder
):
    splits, hidden = colour_data
    new, fitted = refit(with_encoder, splits, encoder_plan, hidden[:10], np.ones(10, bool))
    assert fitted["labelled_anomalies"] == {"old": 1, "new": 11}
    assert fitted["weight"]["new"] > fitted["weight"]["old"]
    train = splits.train
    images = np.concatenate([np.asarray(train.images), hidden[:10]])
    kinds = np.concatenate([train.kinds, np.ones(10, np.int64)])
    more = dataclasses.replace(train, images=images, kinds=kinds)
    whole = dataclasses.replace(
        encoder_plan, n_labelled=11, shares={ENCODER_FEATURES: 1.0, LABEL_DIRECTION: 11 / 12}
    )
    grown = dataclasses.replace(splits, train=more)
    other = fit_with_encoder(encoder, colour_generator, grown, whole)
    test = np.asarray(splits.test.images)
    np.testing.assert_allclose(new.score_samples(test), other.score_samples(test), atol=1e-4)
    assert new.scorer.threshold == pytest.approx(other.scorer.threshold, abs=1e-4)
    limits = [one.scorer.pixel_threshold for one in (new, other)]
    assert limits[0] == pytest.approx(limits[1], rel=1e-3)


def test_corrected_normal_images_enter_the_threshold_and_known_images_count_once(
    colour_data, encoder_plan, with_encoder
):
    splits, hidden = colour_data
    known = np.asarray(splits.validation.images[:1])
    images = np.concatenate([hidden[:2], known])
    new, fitted = refit(with_encoder, splits, encoder_plan, images, np.zeros(3, bool))
    assert fitted["labelled_anomalies"] == {"old": 1, "new": 1}
    before = len(with_encoder.scorer.normal_scores)
    assert len(new.scorer.normal_scores) == len(new.scorer.normal_peaks) == before + 2
    peak = new.run(images, outputs=("anomaly_map",))["anomaly_map"].max()
    assert new.scorer.normal_peaks[-1] >= peak * (1 - 1e-5)
    assert new.scorer.threshold > with_encoder.scorer.threshold
    # A normal validation image that turns out to be an anomaly is no longer a normal one.
    new, _ = refit(with_encoder, splits, encoder_plan, known, np.ones(1, bool))
    assert len(new.scorer.normal_scores) == before - 1


def test_training_images_stay_in_the_threshold_of_few_photos(
    encoder, colour_generator, colour_data, encoder_plan
):
    splits, hidden = colour_data
    few = dataclasses.replace(splits, validation=splits.validation.subset(np.arange(4)))
    plan = dataclasses.replace(encoder_plan, cross_fit=True)
    old = fit_with_encoder(encoder, colour_generator, few, plan)
    assert len(old.scorer.normal_scores) == 4 + 60
    images, is_anomaly = hidden[:12], np.arange(12) < 10
    new, _ = refit(old, few, plan, images, is_anomaly)
    assert len(new.scorer.normal_scores) == 4 + 60 + 2
    assert len(new.scorer.normal_peaks) == 4 + 2  # the map shows errors of the generator here
    assert new.scorer.explanation[CROSS_FITTED] == 60
    assert "5.00%" in new.scorer.explanation["threshold"]
    # The folds learnt from the corrected anomalies as the detector did.
    train = few.train
    more = dataclasses.replace(
        train,
        images=np.concatenate([np.asarray(train.images), images[is_anomaly]]),
        kinds=np.concatenate([train.kinds, np.ones(10, np.int64)]),
    )
    whole = dataclasses.replace(
        plan, n_labelled=11, shares={ENCODER_FEATURES: 1.0, LABEL_DIRECTION: 11 / 12}
    )
    other = fit_with_encoder(encoder, colour_generator, dataclasses.replace(few, train=more), whole)
    again, _ = refit(old, few, plan, images[is_anomaly], np.ones(10, bool))
    assert again.scorer.threshold == pytest.approx(other.scorer.threshold, abs=1e-3)
    np.testing.assert_allclose(again.scorer.normal_scores, other.scorer.normal_scores, atol=1e-2)


def test_without_an_encoder_anomalies_enter_threshold_and_probability(detector, splits):
    plan = Plan(score="all")
    anomalies = np.asarray(splits.test.images)[splits.test.is_anomaly][:5]
    new, fitted = refit(detector, splits, plan, anomalies, np.ones(5, bool))
    assert fitted["weight"] == {"old": 0, "new": 0}
    count = int(splits.validation.is_anomaly.sum())
    assert new.scorer.explanation["anomalous_images"] == count + 5


@pytest.fixture
def finished_run(with_encoder, colour_data, encoder_plan, tmp_path):
    """The run as `train.py` leaves it, with its images as files."""
    splits, hidden = colour_data
    run, data, entries = tmp_path / "run", tmp_path / "data", []
    for part in ("train", "validation", "test"):
        images = getattr(splits, part)
        for number, (image, anomalous) in enumerate(
            zip(np.asarray(images.images), images.is_anomaly, strict=True)
        ):
            place = "anomaly/square" if anomalous else "normal"
            path = data / place / f"{part}-{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
            kind = "square" if anomalous else "normal"
            entries.append(SplitEntry(f"{place}/{path.name}", kind, bool(anomalous), part))
    with_encoder.save(run / "detector")
    write_split(entries, run / "split.csv")
    config = RunConfig(data=str(data), image_size=32, channels=3, encoder_weights=None)
    (run / "config.json").write_text(json.dumps(config.to_dict()))
    loaded = load_splits(dataclasses.replace(config, split=str(run / "split.csv")))
    (run / "split.json").write_text(json.dumps({"fingerprint": loaded.fingerprint}))
    (run / "plan.json").write_text(json.dumps(encoder_plan.to_dict()))
    (run / "metrics.json").write_text("{}")
    for number, image in enumerate(hidden[:12]):
        Image.fromarray(image).save(tmp_path / f"new-{number}.png")
    return run


@pytest.fixture
def new_normals(colour_data, tmp_path):
    """A folder of 30 normal images in another light."""
    (tmp_path / "normals").mkdir()
    for number, image in enumerate(np.asarray(colour_data[0].validation.images[:30])):
        Image.fromarray(brighter(image)).save(tmp_path / "normals" / f"{number}.png")
    return tmp_path / "normals"


def test_a_run_learns_from_corrections_and_keeps_what_training_wrote(
    finished_run, colour_data, with_encoder, tmp_path, capsys
):
    splits, hidden = colour_data
    path = table(tmp_path / "c.csv", *(f"new-{number}.png,anomaly" for number in range(10)))
    recalibrate("--run", finished_run, "--corrections", path)
    text = capsys.readouterr().out
    assert "the direction to labelled anomalies is fitted to 11, 1 in training" in text
    assert "corrected anomalies decided as corrected: " in text
    again = Detector.load(finished_run)
    new, _ = refit(with_encoder, splits, Plan.from_dict(json.loads(
        (finished_run / "plan.json").read_text())), hidden[:10], np.ones(10, bool))  # fmt: skip
    test = np.asarray(splits.test.images)
    np.testing.assert_allclose(again.score_samples(test), new.score_samples(test), atol=1e-4)
    record = again.scorer.explanation["recalibrated"]
    assert record["corrections"]["anomaly"] == 10
    assert record["direction"]["labelled_anomalies"] == {"old": 1, "new": 11}
    kept = {file.name for file in (finished_run / "detector/from_training").iterdir()}
    assert kept == {"scorer.json", "image_ranges.json", "encoder.npz"}
    # A second call with fewer lines starts from training, not from the first call.
    path = table(tmp_path / "c.csv", "new-11.png,anomaly")
    recalibrate("--run", finished_run, "--corrections", path)
    assert "is fitted to 2, 1 in training" in capsys.readouterr().out


def test_corrected_images_of_the_test_part_are_counted(finished_run, tmp_path):
    tested = sorted((tmp_path / "data/anomaly/square").glob("test-*.png"))[:2]
    path = table(tmp_path / "c.csv", "new-0.png,anomaly", *(f"{file},anomaly" for file in tested))
    recalibrate("--run", finished_run, "--corrections", path)
    record = Detector.load(finished_run).scorer.explanation["recalibrated"]
    assert record["corrections"]["of_test_part"] == 2


def test_what_was_learnt_from_corrections_is_known_after_another_recalibration(
    finished_run, new_normals, tmp_path
):
    tested = sorted((tmp_path / "data/anomaly/square").glob("test-*.png"))[:2]
    path = table(tmp_path / "c.csv", *(f"{file},anomaly" for file in tested))
    recalibrate("--run", finished_run, "--corrections", path)
    learnt = Detector.load(finished_run).scorer.explanation["recalibrated"]
    for _ in range(2):
        recalibrate("--run", finished_run, new_normals)
        record = Detector.load(finished_run).scorer.explanation["recalibrated"]
        assert "corrections" not in record
        earlier = record["earlier_corrections"]
        assert earlier == {name: learnt[name] for name in ("date", "corrections", "direction")}


def test_corrections_with_new_normals_are_judged_by_the_threshold_that_is_written(
    finished_run, new_normals, tmp_path, capsys
):
    path = table(tmp_path / "c.csv", *(f"new-{number}.png,anomaly" for number in range(10)))
    recalibrate("--run", finished_run, new_normals, "--corrections", path)
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("threshold: ")]) == 1
    again = Detector.load(finished_run)
    files = [np.asarray(Image.open(tmp_path / f"new-{number}.png")) for number in range(10)]
    found = int(again.predict(np.stack(files)).sum())
    right = again.scorer.explanation["recalibrated"]["corrections"]["decided_as_corrected"]
    assert right["new"] == {"normal": 0, "anomaly": found}
    told = f"corrected anomalies decided as corrected: {right['old']['anomaly']} of 10 before, "
    assert told + f"{found} now" in lines


def put_detector_aside(run):
    """As after a kill between the two renames of `replace_dir`."""
    (run / ".replaced-detector-x").mkdir()
    (run / "detector").rename(run / ".replaced-detector-x/detector")
    (run / ".writing-detector-y").mkdir()


def test_a_detector_that_a_killed_process_put_aside_is_found_again(finished_run, tmp_path):
    put_detector_aside(finished_run)
    flags = argparse.Namespace(data=None, data_dir=None, idx_dir=None)
    detector, _ = load_run(finished_run, flags)  # for `export` and `verify`
    assert detector.scorer.threshold == Detector.load(finished_run).scorer.threshold
    put_detector_aside(finished_run)
    path = table(tmp_path / "c.csv", "new-0.png,anomaly")
    recalibrate("--run", finished_run, "--corrections", path)
    assert (finished_run / "detector/from_training").is_dir()
    assert not list(finished_run.glob(".*"))


def test_anomalies_that_were_not_learnt_from_are_left_out(finished_run):
    flags = argparse.Namespace(data=None, data_dir=None, idx_dir=None)
    _, splits = load_run(finished_run, flags)
    assert splits.n_labelled == 1
    plan = json.loads((finished_run / "plan.json").read_text())
    (finished_run / "plan.json").write_text(json.dumps({**plan, "n_labelled": 0}))
    _, splits = load_run(finished_run, flags)  # as after --synthetic 1
    assert splits.n_labelled == 0


def test_new_scores_of_a_corrected_run_are_not_compared_with_the_old_threshold(
    finished_run, new_normals, tmp_path, capsys
):
    path = table(tmp_path / "c.csv", *(f"new-{number}.png,anomaly" for number in range(4)))
    scorer = finished_run / "detector/scorer.json"
    for normals in ([], [new_normals]):
        recalibrate("--run", finished_run, *normals, "--corrections", path)
        record = json.loads(scorer.read_text())["explanation"]["recalibrated"]
        for name in ("threshold", "probability", "pixel_threshold"):
            assert "new" in record[name]
            assert "old" not in record[name]
    assert set(record["false_alarms"]) == set(record["anomalies_found"]) == {"new"}
    lines = [
        line
        for line in capsys.readouterr().out.splitlines()
        if not line.startswith(("corrected", "the direction"))  # these do compare
    ]
    assert not [line for line in lines if "before" in line]
    assert f"false alarms on these images: {record['false_alarms']['new']} of 30" in lines


def test_a_run_stays_as_it_was_where_corrections_contradict_it(finished_run, tmp_path):
    before = {p: p.read_bytes() for p in finished_run.rglob("*") if p.is_file()}
    shutil.copy(tmp_path / "new-0.png", tmp_path / "copy.png")
    path = table(tmp_path / "c.csv", "new-0.png,anomaly", "copy.png,normal")
    with pytest.raises(DataError, match="1 pairs of equal pixels"):
        recalibrate("--run", finished_run, "--corrections", path)
    assert {p: p.read_bytes() for p in finished_run.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--run", "run", "--anomalies", "d"], "--anomalies must be left out with --run"),
        (["model.onnx", "--output", "new.onnx", "--data", "d"], "--data must be left out without"),
    ],
)
def test_flags_without_an_effect_are_refused(folder, flags, message):
    with pytest.raises(UsageError, match=message):
        recalibrate(*flags, "--corrections", table(folder / "c.csv", "0.png,normal"))


def test_a_run_that_was_recalibrated_needs_its_new_normal_images_again(finished_run, tmp_path):
    ranges = finished_run / "detector/image_ranges.json"
    ranges.write_text(json.dumps({"source": "recalibration", **json.loads(ranges.read_text())}))
    path = table(tmp_path / "c.csv", "new-0.png,anomaly")
    with pytest.raises(UsageError, match="NORMALS must be given again"):
        recalibrate("--run", finished_run, "--corrections", path)
