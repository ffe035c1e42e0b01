"""Batch scoring on Ray: the same scores as runtime.py, and each row exactly once."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from export.batch import __main__ as batch
from export.batch import job as batch_job
from export.batch import worker as batch_worker
from export.batch.sources import Source, list_files
from export.batch.tfrecord import count_records
from export.runtime import Scorer
from ganad_tf.errors import DataError, run_cli
from ganad_tf.folder_lock import locked

COUNT = 40


@pytest.fixture(scope="module")
def _ray():
    batch_worker.import_ray(alone=True)
    with batch_worker.ray_running(None, 2):
        yield


@pytest.fixture
def run_batch(model_path, monkeypatch):
    """The command; returns its exit code."""
    monkeypatch.setattr(batch_worker, "ray_running", lambda *_: contextlib.nullcontext(2))

    def call(source, output, *flags):
        arguments = [model_path, source, "--output", output, "--quiet", *flags]
        return run_cli(lambda: batch.main([str(argument) for argument in arguments]))

    return call


@pytest.fixture
def score(_ray, run_batch):
    """The command on a Ray that is started once for all tests."""
    return run_batch


@pytest.fixture
def score_here(run_batch, monkeypatch):
    """The command with a worker in this process, for what is not Ray's business; much faster."""

    def score_shards(job, tasks, _):
        worker = batch_worker.ShardWorker(job)
        for task in tasks:
            answer = worker({"shard": [task.shard], "offset": [task.offset]})
            yield {name: values[0] for name, values in answer.items()}

    monkeypatch.setattr(batch_worker, "score_shards", score_shards)
    return run_batch


@pytest.fixture(scope="module")
def files(images, tmp_path_factory):
    """A folder of PNG files, two of them bad."""
    folder = tmp_path_factory.mktemp("files")
    for i, image in enumerate(images[:COUNT]):
        path = folder / f"{i % 3}" / f"{i:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).resize((28 + i % 2, 28)).save(path)
    (folder / "0" / "03.png").write_bytes((folder / "0" / "00.png").read_bytes()[:200])
    (folder / "1" / "04.png").write_text("no image")
    (folder / "notes.txt").write_text("ignored")
    return folder


@pytest.fixture(scope="module")
def encoded(files):
    return {name: (files / name).read_bytes() for name, _ in list_files(str(files))}


@pytest.fixture(scope="module")
def expected(files, encoded, model_path):
    """What runtime.py says of each file: its record."""
    records = Scorer(model_path).score_files([(str(files / name), name) for name in encoded])
    return dict(zip(encoded, records, strict=True))


def write_parquet(contents, path, column="image"):
    parquet.write_table(pyarrow.table({"label": [0] * len(contents), column: contents}), path, 6)


def write_tfrecord(contents, path, feature="image"):
    import tensorflow as tf

    def bytes_of(content):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))

    one = tf.train.Feature(int64_list=tf.train.Int64List(value=[1]))
    with tf.io.TFRecordWriter(str(path)) as writer:
        for content in contents:
            features = tf.train.Features(feature={feature: bytes_of(content), "label": one})
            writer.write(tf.train.Example(features=features).SerializeToString())


def rows_of(output):
    return parquet.read_table(output).to_pylist()


def check_rows(rows, expected):
    """Every row as runtime.py has it, in order.

    To float32's rounding: an image's place in its batch may decide a score's last bit.
    """
    assert len(rows) == len(expected)
    for row, record in zip(rows, expected, strict=True):
        assert [row[name] for name in ("is_anomaly", "error")] == [
            record.get(name) for name in ("is_anomaly", "error")
        ]
        for name in ("score", "probability"):
            value = record.get(name)
            close = None if value is None else pytest.approx(value, rel=1e-6, abs=1e-6)
            assert row[name] == close


def test_a_folder_gets_the_scores_of_the_runtime(score, files, expected, tmp_path, capsys):
    assert score(files, tmp_path / "out", "--shard-size", "7") == 1
    rows = rows_of(tmp_path / "out")
    check_rows(rows, expected.values())
    assert [row["source"] for row in rows] == list(expected)
    assert {row["source"] for row in rows if row["error"]} == {"0/03.png", "1/04.png"}
    assert len(list((tmp_path / "out").glob("part-*.parquet"))) == 6
    summary = json.loads((tmp_path / "out" / "_summary.json").read_text())
    assert (summary["rows"], summary["errors"]) == (COUNT, 2)
    assert "40 images: 38 scored" in capsys.readouterr().out


def test_regions_are_a_column_that_only_a_job_with_them_has(
    score_here, files, encoded, model_path, tmp_path, capsys
):
    assert score_here(files, tmp_path / "out", "--regions", "--shard-size", "15") == 1
    rows = rows_of(tmp_path / "out")
    pairs = [(str(files / name), name) for name in encoded]
    records = list(Scorer(model_path).score_files(pairs, regions=True))
    assert any(row["regions"] for row in rows)
    for row, record in zip(rows, records, strict=True):
        assert (row["regions"] is None) == ("error" in record)
        for ours, theirs in zip(row["regions"] or (), record.get("regions", ()), strict=True):
            assert {**ours, "peak": None} == {**theirs, "peak": None}
            assert ours["peak"] == pytest.approx(theirs["peak"], rel=1e-5)
    # The same folder without them is another job.
    assert score_here(files, tmp_path / "out", "--shard-size", "15") == 2
    assert "with regions True" in capsys.readouterr().err
    assert score_here(files, tmp_path / "plain", "--shard-size", "15") == 1
    assert "regions" not in rows_of(tmp_path / "plain")[0]


def test_a_job_of_an_earlier_version_goes_on(score_here, files, tmp_path):
    assert score_here(files, tmp_path / "out", "--shard-size", "15") == 1
    path = tmp_path / "out" / "_manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["regions"], manifest["pixel_threshold"]
    path.write_text(json.dumps(manifest))
    assert score_here(files, tmp_path / "out", "--shard-size", "15") == 1


def test_a_pixel_threshold_without_regions_is_refused(score_here, files, tmp_path, capsys):
    assert score_here(files, tmp_path / "out", "--pixel-threshold", "1") == 2
    assert "--pixel-threshold must go with --regions" in capsys.readouterr().err


def test_parquet_gets_the_scores_of_the_runtime(score, encoded, expected, tmp_path):
    contents = list(encoded.values())
    (tmp_path / "in" / "more").mkdir(parents=True)
    write_parquet(contents[:23], tmp_path / "in" / "a.parquet")
    write_parquet(contents[23:], tmp_path / "in" / "more" / "b.parquet")
    assert score(tmp_path / "in", tmp_path / "out", "--shard-size", "9") == 1
    rows = rows_of(tmp_path / "out")
    check_rows(rows, expected.values())
    names = [f"a.parquet#{i}" for i in range(23)] + [f"more/b.parquet#{i}" for i in range(17)]
    assert [row["source"] for row in rows] == names


def test_tfrecord_gets_the_scores_of_the_runtime(score, encoded, expected, tmp_path):
    contents = list(encoded.values())
    (tmp_path / "in").mkdir()
    for i, start in enumerate((0, 20)):
        path = tmp_path / "in" / f"x.tfrecord-0000{i}-of-00002"
        write_tfrecord(contents[start : start + 20], path, "image/encoded")
    assert score(tmp_path / "in", tmp_path / "out", "--shard-size", "15") == 1
    rows = rows_of(tmp_path / "out")
    check_rows(rows, expected.values())
    assert rows[-1]["source"] == "x.tfrecord-00001-of-00002#19"


def test_columns_of_image_data_sets_and_nulls_will_do(score_here, encoded, expected, tmp_path):
    good = encoded["0/00.png"]
    values = [{"bytes": good, "path": "a"}, None, {"bytes": None, "path": "b"}]
    write_parquet(values, tmp_path / "in.parquet", "picture")
    flags = ("--image-column", "picture")
    assert score_here(tmp_path / "in.parquet", tmp_path / "out", *flags) == 1
    first, second, third = rows_of(tmp_path / "out")
    assert first["score"] == pytest.approx(expected["0/00.png"]["score"], rel=1e-6, abs=1e-6)
    assert second["error"] == third["error"] == "expected an image. Received: null"


def test_a_damaged_record_is_a_row_and_a_cut_file_an_error(score_here, encoded, tmp_path, capsys):
    path = tmp_path / "x.tfrecord"
    write_tfrecord([encoded["0/00.png"]] * 3, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert score_here(path, tmp_path / "out") == 1
    assert [row["error"] is None for row in rows_of(tmp_path / "out")] == [True, False, True]
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match="Received: a damaged or cut one at byte"):
        count_records(str(path))
    assert score_here(path, tmp_path / "cut") == 1
    assert "x.tfrecord: expected whole TFRecords" in capsys.readouterr().err


def test_file_names_of_any_bytes_are_kept(score_here, encoded, tmp_path):
    (tmp_path / "in").mkdir()
    for name in (b"a\nb.png", b"\xff.png", "schön 図.PNG".encode()):
        with open(os.path.join(os.fsencode(tmp_path), b"in", name), "wb") as file:
            file.write(encoded["0/00.png"])
    (tmp_path / "in" / "gone.png").symlink_to("nowhere")
    assert score_here(tmp_path / "in", tmp_path / "out") == 1
    errors = {row["source"]: row["error"] for row in rows_of(tmp_path / "out")}
    assert set(errors) == {"a\nb.png", "\\udcff.png", "schön 図.PNG", "gone.png"}
    assert "No such file" in errors.pop("gone.png")
    assert set(errors.values()) == {None}


def test_a_threshold_decides_and_scores_stay(score_here, files, expected, model_path, tmp_path):
    assert score_here(files, tmp_path / "all", "--threshold", "-1000") == 1
    rows = [row for row in rows_of(tmp_path / "all") if not row["error"]]
    assert all(row["is_anomaly"] for row in rows)
    scores = [record["score"] for record in expected.values() if "score" in record]
    assert [row["score"] for row in rows] == pytest.approx(scores, rel=1e-6, abs=1e-6)
    score_here(files, tmp_path / "rate", "--max-false-alarms", "0.1")
    threshold = Scorer(model_path).threshold_for(0.1)
    rows = [row for row in rows_of(tmp_path / "rate") if not row["error"]]
    assert all(row["is_anomaly"] == (row["score"] > threshold) for row in rows)
    assert json.loads((tmp_path / "rate" / "_summary.json").read_text())["threshold"] == threshold


def test_missing_and_damaged_shards_alone_are_scored_again(score_here, files, expected, tmp_path):
    output = tmp_path / "out"
    score_here(files, output, "--shard-size", "10")
    (output / "part-00001.parquet").unlink()
    (output / "part-00002.parquet").write_bytes(b"PAR1")
    whole = (output / "part-00003.parquet").read_bytes()
    zeroed = bytes(len(whole) // 2) + whole[len(whole) // 2 :]
    (output / "part-00003.parquet").write_bytes(zeroed)
    (output / ".writing-left.parquet").write_bytes(b"")
    kept = (output / "part-00000.parquet").stat().st_mtime_ns
    assert score_here(files, output, "--shard-size", "10") == 1
    assert (output / "part-00000.parquet").stat().st_mtime_ns == kept
    assert not list(output.glob(".writing-*"))
    check_rows(rows_of(output), expected.values())


def test_another_job_is_refused_until_told_to_overwrite(score_here, files, tmp_path, capsys):
    output = tmp_path / "out"
    score_here(files, output, "--shard-size", "10")
    assert score_here(files, output, "--shard-size", "20") == 2
    assert "shard_size 10 (--overwrite starts anew). Received: 20" in capsys.readouterr().err
    assert score_here(files, output, "--shard-size", "10", "--threshold", "0") == 2
    assert len(list(output.glob("part-*"))) == 4
    assert score_here(files, output, "--shard-size", "20", "--overwrite") == 1
    assert len(list(output.glob("part-*"))) == 2
    assert len(rows_of(output)) == COUNT


def test_results_without_their_manifest_are_not_deleted_unasked(
    score_here, files, tmp_path, capsys
):
    output = tmp_path / "copied"
    output.mkdir()
    (output / "part-00000.parquet").write_bytes(b"results")
    assert score_here(files, output) == 2
    assert "part-00000.parquet, and no _manifest.json" in capsys.readouterr().err
    assert (output / "part-00000.parquet").read_bytes() == b"results"
    assert score_here(files, output, "--overwrite") == 1  # two of the files are bad


def test_a_source_that_has_changed_is_another_job(score_here, encoded, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / f"{name}.png").write_bytes(encoded["0/00.png"])
    score_here(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in" / "a.png").write_bytes(encoded["1/01.png"])
    assert score_here(tmp_path / "in", tmp_path / "out") == 2
    assert "expected the job begun there, with source" in capsys.readouterr().err


def test_a_killed_job_is_finished_without_a_lost_or_doubled_row(
    score, files, expected, model_path, tmp_path
):
    output, flags = tmp_path / "out", ("--shard-size", "1")
    command = [sys.executable, "-m", "export.batch", model_path, files, "--output", output]
    process = subprocess.Popen(
        [str(part) for part in (*command, *flags, "--workers", "2")],
        cwd=Path(batch.__file__).parents[2],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list(output.glob("part-*")) and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    kept = {path.name: path.stat().st_mtime_ns for path in output.glob("part-*")}
    assert not (output / "_summary.json").exists()
    assert score(files, output, *flags) == 1
    rows = rows_of(output)
    assert [row["source"] for row in rows] == list(expected)
    check_rows(rows, expected.values())
    assert all((output / name).stat().st_mtime_ns == when for name, when in kept.items())


def test_shards_that_fail_are_named_and_tried_again(
    score_here, encoded, tmp_path, capsys, monkeypatch
):
    write_parquet([encoded["0/00.png"]] * 30, tmp_path / "in.parquet")
    whole = (tmp_path / "in.parquet").read_bytes()
    status = (tmp_path / "in.parquet").stat()

    open_tasks = batch_job.open_tasks

    def cut_meanwhile(folder):
        (tmp_path / "in.parquet").write_bytes(whole[:100])
        return open_tasks(folder)

    with monkeypatch.context() as patch:
        patch.setattr(batch_job, "open_tasks", cut_meanwhile)
        assert score_here(tmp_path / "in.parquet", tmp_path / "out", "--shard-size", "10") == 1
    assert "3 of 3 shards could not be scored" in capsys.readouterr().err
    (tmp_path / "in.parquet").write_bytes(whole)
    os.utime(tmp_path / "in.parquet", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert score_here(tmp_path / "in.parquet", tmp_path / "out", "--shard-size", "10") == 0
    assert len(rows_of(tmp_path / "out")) == 30


@pytest.mark.parametrize("shard_size", [1, 3, 10, 100])
def test_the_plan_holds_each_row_once(tmp_path, shard_size):
    for name, count in (("a", 5), ("b", 0), ("c", 14)):
        write_parquet([b"x"] * count, tmp_path / f"{name}.parquet")
    with (tmp_path / "plan").open("w") as file:
        planned = Source(tmp_path).plan(shard_size, file)
    shards = [json.loads(line) for line in (tmp_path / "plan").read_text().splitlines()]
    rows = [
        (name, row)
        for pieces in shards
        for name, start, count in pieces
        for row in range(start, start + count)
    ]
    assert rows == [("a.parquet", i) for i in range(5)] + [("c.parquet", i) for i in range(14)]
    assert (planned["rows"], planned["shards"]) == (19, len(shards))
    assert all(sum(piece[2] for piece in shard) == shard_size for shard in shards[:-1])


@pytest.mark.usefixtures("_ray")
def test_ray_listens_on_loopback_alone():
    import ray

    assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}


@pytest.fixture
def wrong(tmp_path, files, model_path):
    """Inputs that cannot be used, by name: model, source, flags."""
    content = model_path.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "mixed" / "a.png")
    write_parquet(["text"], tmp_path / "text.parquet")
    write_parquet([b"x"], tmp_path / "mixed" / "x.parquet", "jpeg")
    (tmp_path / "bad.parquet").write_bytes(b"no Parquet")
    write_tfrecord([b"x"], tmp_path / "x.tfrecord", "jpeg")
    (tmp_path / "gzip.tfrecord").write_bytes(b"\x1f\x8b" + bytes(20))
    (tmp_path / "table.csv").write_text("1,2")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").write_text("precious")
    (tmp_path / "file").write_text("")
    return {
        "no model": ("none.onnx", files, (), 1, "none.onnx: expected an ONNX file"),
        "cut model": ("cut.onnx", files, (), 1, "cut.onnx: expected an ONNX model"),
        "no source": (None, "none", (), 1, "none: expected a folder, or a file"),
        "bucket": (None, "s3://bucket/x", (), 2, "SOURCE must be a path on a disk"),
        "bucket out": (None, files, ("--output", "s3://b/x"), 2, "--output must be a path on a"),
        "empty": (None, "empty", (), 1, "empty: expected images"),
        "mixed": (None, "mixed", (), 1, "Received: a.png and x.parquet"),
        "csv": (None, "table.csv", (), 1, "table.csv: expected an image"),
        "column": (None, "mixed/x.parquet", (), 1, "expected a column 'image'"),
        "text": (None, "text.parquet", (), 1, "must hold encoded images (binary"),
        "no parquet": (None, "bad.parquet", (), 1, "bad.parquet: expected a Parquet file"),
        "feature": (None, "x.tfrecord", (), 1, "in feature 'image'. Received: features jpeg"),
        "gzip": (None, "gzip.tfrecord", (), 1, "Received: gzip"),
        "output is a file": (None, files, ("--output", "file"), 2, "file: expected a folder"),
        "output is full": (None, files, ("--output", "full"), 2, "full with thesis.doc"),
        "output inside": (None, "empty", ("--output", "empty/out"), 2, "outside SOURCE"),
        "workers": (None, files, ("--workers", "0"), 2, "--workers must be at least 1"),
        "shard size": (None, files, ("--shard-size", "-1"), 2, "--shard-size must be at least 1"),
        "rate": (None, files, ("--max-false-alarms", "2"), 2, "max_false_alarms must be in"),
        "nan": (None, files, ("--threshold", "nan"), 2, "threshold must be a number"),
    }


CASES = (
    *("no model", "cut model", "no source", "bucket", "bucket out", "empty", "mixed", "csv"),
    *("column", "text"),
    *("no parquet", "feature", "gzip", "output is a file", "output is full", "output inside"),
    *("workers", "shard size", "rate", "nan"),
)


@pytest.mark.parametrize("name", CASES)
def test_wrong_input_is_named(name, wrong, model_path, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, source, flags, code, message = wrong[name]
    arguments = [str(model or model_path), str(source), "--output", "out", *flags]
    assert run_cli(lambda: batch.main(arguments)) == code
    error = capsys.readouterr().err
    assert message in error
    assert "Received: " in error
    assert not list(tmp_path.glob("out/part-*"))
    if name == "output is full":
        assert (tmp_path / "full" / "thesis.doc").read_text() == "precious"


def test_an_address_without_a_cluster_is_refused_at_once(model_path, files, tmp_path, capsys):
    arguments = [model_path, files, "--output", tmp_path / "out", "--address", "127.0.0.1:1"]
    assert run_cli(lambda: batch.main([str(argument) for argument in arguments])) == 2
    assert "--address must be that of a running Ray cluster" in capsys.readouterr().err


def test_two_jobs_in_one_folder_are_refused(score_here, files, tmp_path, capsys):
    with locked(tmp_path / "out"):
        assert score_here(files, tmp_path / "out") == 2
    assert "Received: one in use by process" in capsys.readouterr().err


def test_a_missing_ray_names_the_extra(files, model_path, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.data", None)
    arguments = [str(model_path), str(files), "--output", str(tmp_path / "out")]
    assert run_cli(lambda: batch.main(arguments)) == 2
    assert "pip install 'ganad_tf[scale]'" in capsys.readouterr().err


def test_a_limit_of_pixels_is_the_jobs(score_here, encoded, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(encoded["0/00.png"])
    assert score_here(tmp_path / "in", tmp_path / "out", "--max-pixels", "100") == 1
    (row,) = rows_of(tmp_path / "out")
    assert row["error"].startswith("expected at most 100 pixels (--max-pixels allows more)")


def test_images_unlike_the_training_images_are_reported(
    score_here, images, tmp_path, capsys, monkeypatch
):
    for i, image in enumerate(images[:60:2]):
        path = tmp_path / "bright" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).point(lambda value: value * 1.3).save(path)
    assert score_here(tmp_path / "bright", tmp_path / "out", "--shard-size", "7") == 0
    assert "warning: 30 images differ from the 60 normal" in capsys.readouterr().err
    summary = json.loads((tmp_path / "out" / "_summary.json").read_text())
    assert "brightness" in summary["input_shift"]
    # Nothing is left to score; the summary still says it.
    assert score_here(tmp_path / "bright", tmp_path / "out", "--shard-size", "7") == 0
    assert json.loads((tmp_path / "out" / "_summary.json").read_text()) == summary
    # Of large shards only a sample is compared.
    monkeypatch.setattr(batch_worker, "SAMPLE", 5)
    assert score_here(tmp_path / "bright", tmp_path / "sample", "--shard-size", "10") == 0
    text = capsys.readouterr().err
    assert "warning: 15 images differ from the 60 normal" in text
    assert text.rstrip().endswith("(15 of 30 images were compared)")
