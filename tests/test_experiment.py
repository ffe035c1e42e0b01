"""What a run does before and between its steps. None of these tests trains."""

import csv
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganad_tf.data.load import Source
from ganad_tf.errors import UsageError, run_cli
from ganad_tf.experiment import run_experiment
from ganad_tf.folder_lock import locked
from ganad_tf.run_folder import METRICS, MODEL, SPLIT, SPLIT_TABLE, create_run
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.training.devices import Execution

ROOT = Path(__file__).parents[1]
FLAGS = ("--image-size", "32", "--encoder", "none")


def put(folder, count, rng):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = rng.integers(0, 256, (32, 32), np.uint8)
        Image.fromarray(pixels).save(folder / f"{count}-{number}.png")


@pytest.fixture
def photos(tmp_path, rng):
    put(tmp_path / "photos" / "normal", 30, rng)
    put(tmp_path / "photos" / "anomaly", 10, rng)
    return tmp_path / "photos"


@pytest.fixture
def train(monkeypatch):
    """`train.py` that gets Ctrl-C where it calls a function of `ganad_tf.experiment`."""
    monkeypatch.syspath_prepend(ROOT)
    command = importlib.import_module("train")

    def interrupt(*_):
        raise KeyboardInterrupt

    def run(*flags, until="train_detector"):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["train.py", *map(str, flags)])
            patch.setattr(f"ganad_tf.experiment.{until}", interrupt)
            return run_cli(command.main)

    return run


def parts(run):
    with (run / SPLIT_TABLE).open(encoding="utf-8") as file:
        return {row["path"]: row["part"] for row in csv.DictReader(file)}


def test_a_run_stopped_before_its_split_was_written_keeps_that_of_the_run_it_starts_from(
    photos, train, tmp_path, rng
):
    first, second = tmp_path / "first", tmp_path / "second"
    assert train("--data", photos, "--output", first, *FLAGS) == 130
    (first / MODEL).write_bytes(b"a model")
    (first / METRICS).write_text("{}")
    put(photos / "normal", 20, rng)
    assert train("--from", first, "--output", second, until="write_split") == 130
    assert not (second / SPLIT_TABLE).exists()
    assert not (second / SPLIT).exists()
    assert train("--resume", second) == 130
    before, after = parts(first), parts(second)
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 20


def test_ctrl_c_names_all_that_the_next_command_needs(photos, train, tmp_path, capsys):
    run, moved = tmp_path / "a run", tmp_path / "new place"

    def advice():
        return capsys.readouterr().err.strip().splitlines()[-1]

    place = ("--data-dir", tmp_path)
    assert train("--data", photos, "--output", run, *place, *FLAGS) == 130
    assert advice().endswith(f" --resume '{run}' and the same --data-dir")
    photos.rename(moved)
    assert train("--resume", run, "--data", moved) == 130
    assert advice().endswith(f" --resume '{run}' --data '{moved}'")
    assert train("--resume", run, "--data", moved, "--devices=cpu") == 130
    assert advice().endswith(" and the same --devices")


def test_a_folder_in_use_is_told_before_images_are_decoded(photos, train, tmp_path, capsys):
    used = tmp_path / "used"
    put(used, 1, np.random.default_rng(0))
    assert train("--data", photos, "--output", used, *FLAGS, until="load_splits") == 2
    assert "--output must be a new or empty folder" in capsys.readouterr().err


@pytest.fixture
def help_train(photos, monkeypatch):
    """Runs worker 1 of 2; returns whether it would train."""
    trained = []
    monkeypatch.setattr("ganad_tf.experiment.worker_index", lambda: (1, 2))
    monkeypatch.setattr("ganad_tf.experiment._help_train", lambda *_: trained.append(1))
    config = RunConfig(data=str(photos), image_size=32, encoder="none")

    def run(**kwargs):
        trained.clear()
        execution = Execution(None, "float32", False, "")
        assert run_experiment(config, execution, Source(), "train.py", **kwargs)[1] == {}
        return bool(trained)

    return run, config


def test_a_helping_worker_ends_where_worker_0_does(help_train, tmp_path):
    run, config = help_train
    folder = tmp_path / "run"
    assert run(output=folder)
    create_run(folder, config, overwrite=False)
    with pytest.raises(UsageError, match="add --overwrite"):
        run(output=folder)
    with locked(folder):  # by worker 0, which was faster
        assert run(output=folder)
    assert run(resume=folder)
    (folder / METRICS).write_text("{}")
    assert not run(resume=folder)
    with locked(folder), pytest.raises(UsageError, match="add --overwrite"):
        run(output=folder)
    assert run(output=folder, overwrite=True)
