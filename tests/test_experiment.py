"""What a run does before and between its steps. None of these tests trains."""

import csv
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganad_tf.errors import run_cli
from ganad_tf.run_folder import METRICS, MODEL, SPLIT, SPLIT_TABLE

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
