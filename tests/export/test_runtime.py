"""The one-file runtime: same scores, every bad input a message, no TensorFlow."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from export import runtime
from export.runtime import Scorer, ScoringError, SettingError, conformal_threshold, main, overlay


@pytest.fixture(scope="module")
def scorer(model_path):
    return Scorer(model_path)


@pytest.fixture
def folder(tmp_path, images):
    """Ten good images, one of them deep and oddly named, and two bad files."""
    (tmp_path / "in" / "tief").mkdir(parents=True)
    for i, image in enumerate(images[:9]):
        Image.fromarray(image[..., 0]).save(tmp_path / "in" / f"{i}.png")
    Image.fromarray(images[9, ..., 0]).save(tmp_path / "in" / "tief" / "schön 図.png")
    whole = (tmp_path / "in" / "0.png").read_bytes()
    (tmp_path / "in" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in" / "words.jpg").write_text("not an image")
    (tmp_path / "in" / "notes.txt").write_text("ignored")
    return tmp_path / "in"


def test_it_scores_as_keras_does(scorer, detector, images):
    ours = scorer.score(images, outputs=("score", "is_anomaly", "anomaly_map"))
    theirs = detector.run(images, outputs=("score", "is_anomaly", "anomaly_map"))
    np.testing.assert_allclose(ours["score"], theirs["score"], atol=1e-5)
    assert np.array_equal(ours["is_anomaly"], theirs["is_anomaly"])
    np.testing.assert_allclose(ours["anomaly_map"], theirs["anomaly_map"], atol=1e-4)


def test_a_score_does_not_depend_on_its_neighbours(scorer, images):
    together = scorer.score(images)["score"]
    alone = [scorer.score(image[None])["score"][0] for image in images[:5]]
    np.testing.assert_allclose(alone, together[:5], atol=1e-6)


@pytest.mark.parametrize("pixels", [1, 28 * 28 * 5, 28 * 28 * 64])
def test_no_score_depends_on_how_many_images_fit_into_a_batch(
    model_path, images, monkeypatch, pixels
):
    monkeypatch.setattr(runtime, "BATCH_PIXELS", pixels)
    scorer = Scorer(model_path, threads=2)
    for count in (2, 17, 70):
        expected = Scorer(model_path, threads=1).score(images[:count])["score"]
        np.testing.assert_allclose(scorer.score(images[:count])["score"], expected, atol=1e-6)


def test_threads_that_share_one_large_image_give_the_same_answer(
    model_path, images, monkeypatch, tmp_path
):
    copy = tmp_path / "model.onnx"
    copy.write_bytes(model_path.read_bytes())
    monkeypatch.setattr(runtime, "SHARED_PIXELS", 28 * 28)
    scorer, outputs = Scorer(copy, threads=2), ("score", "is_anomaly", "anomaly_map")
    copy.unlink()  # a file may be replaced while a model is in use
    shared = scorer.score(images[:1], outputs=outputs)
    several = scorer.score(images[:2], outputs=outputs)
    for name in outputs:
        np.testing.assert_allclose(shared[name], several[name][:1], atol=1e-6)


def test_another_threshold_changes_decisions_and_not_scores(scorer, images):
    usual, strict = scorer.score(images), scorer.score(images, threshold=-np.inf)
    assert np.array_equal(usual["score"], strict["score"])
    assert strict["is_anomaly"].all()


def test_a_rate_becomes_the_order_statistic_of_split_conformal_prediction():
    scores = np.arange(1, 100)[::-1]  # n = 99, so the k-th smallest is k
    assert conformal_threshold(scores, 0.05) == 95
    assert conformal_threshold(scores, 0.01) == 99


@pytest.mark.parametrize("rate", [0.009, 0, 1, -1, float("nan")])
def test_a_rate_that_cannot_be_promised_is_refused(rate):
    with pytest.raises(SettingError, match="Received: "):
        conformal_threshold(np.arange(99), rate)


def test_the_smallest_possible_rate_is_named():
    with pytest.raises(SettingError, match=r"at least 0\.01 with the model's 99 normal"):
        conformal_threshold(np.arange(99), 0.001)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((2, 28, 28, 1), np.float32),
        np.full((2, 28, 28, 1), np.nan),
        np.zeros((2, 28, 28, 1), np.int64),
        np.zeros((28, 28), np.uint8),
        np.zeros((2, 28, 28, 3), np.uint8),
        np.zeros((2, 32, 32, 1), np.uint8),
        np.zeros((0, 28, 28, 1), np.uint8),
        None,
        [],
        "image.png",
        [[1, 2], [3]],
    ],
    ids=lambda value: f"{getattr(value, 'dtype', value)}{getattr(value, 'shape', '')}",
)
def test_arrays_that_are_not_images_are_refused(scorer, bad):
    with pytest.raises(ScoringError, match=r"images must be uint8 \[N, 28, 28, 1\].*Received: "):
        scorer.score(bad)


SHAPES = st.one_of(
    hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=30),
    st.tuples(st.integers(0, 3), st.just(28), st.just(28)),
    st.tuples(st.integers(0, 3), st.just(28), st.just(28), st.just(1)),
)
ARRAYS = SHAPES.flatmap(
    lambda shape: st.one_of(hnp.scalar_dtypes(), st.just(np.dtype(np.uint8))).map(
        lambda dtype: np.zeros(shape, dtype) if dtype.kind not in "OV" else np.zeros(shape)
    )
)
ANYTHING = st.one_of(
    ARRAYS,
    st.none(),
    st.text(),
    st.floats(),
    st.binary(),
    st.lists(st.one_of(ARRAYS, st.integers(), st.none()), max_size=4),
    st.dictionaries(st.text(), st.integers(), max_size=2),
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(images=ANYTHING, threshold=st.one_of(st.none(), st.floats(), st.text(max_size=3)))
def test_whatever_comes_is_scored_or_refused(scorer, images, threshold):
    try:
        results = scorer.score(images, threshold=threshold)
    except ScoringError as error:
        assert "Received: " in str(error)  # noqa: PT017
    else:
        assert np.isfinite(results["score"]).all()
        assert results["score"].shape == results["is_anomaly"].shape == (len(images),)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_file_is_a_record_and_no_crash(scorer, tmp_path, images, data):
    file = tmp_path / f"x.{data.draw(st.sampled_from(['png', 'jpg', 'gif', 'bmp', 'tif', 'webp']))}"
    Image.fromarray(images[0, ..., 0]).save(file)
    content = bytearray(file.read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=5)):
        content[position] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    (record,) = scorer.score_files([file])
    assert ("error" in record) != ("score" in record)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x0a" * 50], ids=["0", "text", "bits"])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ScoringError, match=r"m\.onnx: expected an? (ONNX )?model.*Received: "):
        Scorer(tmp_path / "m.onnx")


def test_a_truncated_model_is_refused(tmp_path, model_path):
    content = model_path.read_bytes()
    (tmp_path / "m.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(ScoringError, match="Received: "):
        Scorer(tmp_path / "m.onnx")


def test_a_model_without_our_metadata_is_refused(tmp_path, model_path):
    model = onnx.load(model_path)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ScoringError, match="written by `ganad export`, with its metadata"):
        Scorer(tmp_path / "m.onnx")


def test_a_folder_gives_a_line_for_each_image(model_path, folder, capsys):
    assert main([str(model_path), str(folder), "--jsonl"]) == 1
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    named = {Path(record["path"]).name: record for record in records}
    assert len(records) == 12
    assert {name for name, record in named.items() if "error" in record} == {"cut.png", "words.jpg"}
    assert named["schön 図.png"]["is_anomaly"] in (True, False)


def test_a_table_and_maps_are_written(model_path, folder, tmp_path, capsys):
    arguments = ["--csv", str(tmp_path / "t.csv"), "--maps", str(tmp_path / "maps")]
    assert main([str(model_path), str(folder), *arguments]) == 1
    with open(tmp_path / "t.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    good = [row for row in rows if not row["error"]]
    assert all(Image.open(row["map"]).size == (28, 28) for row in good)
    assert "cut.png" in capsys.readouterr().err
    assert (tmp_path / "maps" / "tief" / "schön 図.png.png").is_file()


def test_maps_of_files_with_one_name_do_not_replace_each_other(scorer, folder, tmp_path):
    files = [folder / "1.png", folder / "tief/1.png"]
    shutil.copy(folder / "2.png", files[1])
    records = list(scorer.score_files(files, maps=tmp_path / "maps"))
    first, second = (Path(record["map"]).read_bytes() for record in records)
    assert first != second
    (alone,) = scorer.score_files(files[1:], maps=tmp_path / "alone")
    assert Path(alone["map"]).read_bytes() == second
    assert not list(tmp_path.rglob("*.part"))


def test_a_table_that_is_a_folder_is_refused_before_anything_is_scored(
    model_path, folder, tmp_path, capsys
):
    assert main([str(model_path), str(folder), "--csv", str(tmp_path)]) == 2
    assert f"--csv must be a file. Received: {tmp_path}, a folder" in capsys.readouterr().err
    assert not list(tmp_path.parent.glob("*.part"))


def test_a_table_finds_files_whose_names_are_no_text(model_path, folder, tmp_path):
    name = os.fsencode(folder) + b"/caf\xe9.png"
    os.rename(os.fsencode(folder / "1.png"), name)
    assert main([str(model_path), os.fsdecode(name), "--csv", str(tmp_path / "t.csv")]) == 0
    with open(tmp_path / "t.csv", encoding="utf-8", errors="surrogateescape") as file:
        (row,) = csv.DictReader(file)
    assert os.path.exists(row["path"])


def test_a_folder_that_may_not_be_read_is_told_once(model_path, folder, monkeypatch, capsys):
    def denied(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", denied)
    assert main([str(model_path), str(folder)]) == 1
    error = capsys.readouterr().err
    assert "Permission denied" in error
    assert "a folder without any" not in error


def test_a_model_that_does_not_fit_into_memory_is_told(model_path, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(runtime.Scorer, "_session_for", full)
    with pytest.raises(ScoringError, match="Received: MemoryError"):
        Scorer(model_path)


def test_maps_among_the_images_are_refused(model_path, folder, capsys):
    for maps in (folder, folder / "maps", folder / "tief" / ".." / "maps"):
        assert main([str(model_path), str(folder), "--maps", str(maps)]) == 2
        assert "--maps must lie outside of what is scored" in capsys.readouterr().err
    assert not (folder / "maps").exists()


def test_good_images_alone_end_in_success(model_path, folder, capsys):
    assert main([str(model_path), str(folder / "1.png"), "--threshold", "-1000"]) == 0
    assert "\tanomaly\t" in capsys.readouterr().out


@pytest.mark.parametrize("argument", ["no-such.png", "empty"])
def test_missing_files_and_empty_folders_are_named(model_path, tmp_path, capsys, argument):
    (tmp_path / "empty").mkdir()
    assert main([str(model_path), str(tmp_path / argument)]) == 1
    assert argument in capsys.readouterr().err


@pytest.mark.parametrize("rate", ["0.0001", "2"])
def test_impossible_rates_are_usage_errors(model_path, folder, rate):
    assert main([str(model_path), str(folder), "--max-false-alarms", rate]) == 2


def test_links_in_circles_end(model_path, folder):
    os.symlink(folder, folder / "tief" / "again", target_is_directory=True)
    found = [path for path, _ in runtime.find_images([str(folder)], [])]
    assert len(found) == 13
    assert str(folder / "tief" / "again") in found


def test_every_file_found_has_a_record_that_says_why_it_has_no_score(scorer, folder):
    os.symlink(folder, folder / "again", target_is_directory=True)
    os.symlink("loop.png", folder / "loop.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "IMG_1.HEIC").write_bytes(b"heic")
    found = runtime.find_images([str(folder)], [])
    records = {os.path.basename(r["path"]): r.get("error", "") for r in scorer.score_files(found)}
    assert records["again"] == "expected a file. Received: a folder"
    assert records["pipe.png"] == "expected a file. Received: something else"
    assert "Too many levels of symbolic links" in records["loop.png"]
    assert "Received: other or damaged content (.heic; save it as" in records["IMG_1.HEIC"]
    assert records["1.png"] == ""


def test_a_folder_with_litter_is_scored_without_it(model_path, folder, capsys):
    for name in ("cut.png", "words.jpg"):
        (folder / name).unlink()
    for name in ("._1.png", ".Trash-1000/a.png", "__MACOSX/a.png", "tief/@eaDir/1.png/T.jpg"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"litter")
    assert main([str(model_path), str(folder), "--jsonl"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 10
    assert "not scored: 4 hidden or of the system, 1 .txt" in err


def test_a_limit_of_pixels_can_be_raised(model_path, folder, monkeypatch, capsys):
    path = str(folder / "1.png")
    monkeypatch.setattr(runtime, "MAX_PIXELS", 100)
    assert main([str(model_path), path]) == 0  # the model's own limit
    assert main([str(model_path), path, "--max-pixels", "100"]) == 1
    assert "expected at most 100 pixels (--max-pixels allows more)" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(model_path), path, "--max-pixels", "0"])
    assert "--max-pixels must be at least 1. Received: 0" in capsys.readouterr().err


def test_a_run_folder_in_place_of_a_model_gets_the_file_in_it(tmp_path):
    with pytest.raises(
        ScoringError, match=r"Received: a folder; name the model in it, .*model.onnx"
    ):
        Scorer(tmp_path)


def test_an_old_pillow_is_named_once(model_path, folder, monkeypatch, capsys):
    monkeypatch.setattr("PIL.__version__", "9.5.0")
    assert main([str(model_path), str(folder)]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert "needs Pillow 10.1 or newer" in err
    assert "Received: Pillow 9.5.0" in err


def test_a_normal_pixel_stays_grey_and_a_hot_one_glows():
    image = np.full((4, 4, 3), 100, np.uint8)
    drawn = overlay(image, np.array([[0.0, 2.0], [0.0, 2.0]]), (0, 2))
    assert np.array_equal(drawn[:, 0], image[:, 0])
    assert (drawn[:, -1, 0] > 200).all()


def test_the_file_works_alone_and_without_tensorflow(model_path, folder, tmp_path):
    alone = tmp_path / "elsewhere"
    alone.mkdir()
    (alone / "runtime.py").write_bytes(Path(runtime.__file__).read_bytes())
    code = (
        "import sys, runtime; code = runtime.main(sys.argv[1:]);"
        "assert not {'tensorflow', 'ganad_tf', 'onnx'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(model_path), str(folder / "1.png")],
        cwd=alone,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
