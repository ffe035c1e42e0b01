"""What is kept of each epoch, and which epoch's weights are kept."""

import csv
import logging
import math
from contextlib import nullcontext

import keras
import numpy as np
import pytest

from ganad_tf.data.images import LabelledImages
from ganad_tf.errors import TrainingError
from ganad_tf.training import history
from ganad_tf.training.history import History, StopWhenNotFinite, best_epoch, read_history

LOSSES = {"generator": 1.5, "normal_discriminator": 0.5, "anomaly_discriminator": 0.25}


def images(n_normal, n_anomaly):
    count = n_normal + n_anomaly
    return LabelledImages(
        np.zeros((count, 8, 8, 1), np.uint8),
        np.array([0] * n_normal + [1] * n_anomaly, np.int64),
        ("good", "bad"),
        frozenset([0]),
    )


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs epochs whose validation scores are given; returns the history and the saved epochs."""
    saved = []
    monkeypatch.setattr(history, "save_weights", lambda model, path: saved.append(len(kept)))
    kept = []

    def run(validation, scores, records=(), epochs=None):
        kept[:] = records
        epochs = epochs or len(records) + len(scores)
        watched = History(
            tmp_path / "history.csv", tmp_path / "best.weights.h5", validation, 640, list(records)
        )
        scored = iter(scores)
        monkeypatch.setattr(history, "ValidationScore", lambda model: lambda images: next(scored))
        model = keras.Sequential()
        model.averaged_generator = None
        watched.set_model(model)
        watched.set_params({"epochs": epochs, "steps": 5})
        watched.on_train_begin()
        for epoch in range(len(records), len(records) + len(scores)):
            watched.on_epoch_begin(epoch)
            watched.on_epoch_end(epoch, dict(LOSSES))
            kept.append(None)
        watched.on_train_end()
        return watched, saved

    return run


def ranking(auroc, n_normal=20, n_anomaly=20):
    """Scores of normal images, then of anomalies, which beat the given share of the normal ones."""
    return np.concatenate([np.arange(n_normal), np.full(n_anomaly, auroc * n_normal - 0.5)])


def test_the_best_epoch_is_kept_the_later_of_equals(run, tmp_path):
    watched, saved = run(images(20, 20), [ranking(a) for a in (0.5, 0.9, 0.9, 0.7)])
    assert [record["validation_auroc"] for record in watched.records] == [0.5, 0.9, 0.9, 0.7]
    assert saved == [0, 1, 2]
    assert best_epoch(watched.records) == 3


def test_with_too_few_anomalies_to_compare_by_it_is_the_last(run):
    watched, saved = run(images(20, 19), [None, None])
    assert [record["validation_auroc"] for record in watched.records] == [None, None]
    assert saved == [0, 1]
    assert best_epoch(watched.records) == 2


def test_the_history_on_disk_is_the_one_in_memory(run, tmp_path):
    watched, _ = run(images(20, 20), [ranking(0.5), ranking(0.75)])
    assert read_history(tmp_path / "history.csv") == [
        {name: float(value) for name, value in record.items()} for record in watched.records
    ]
    with (tmp_path / "history.csv").open() as file:
        names = next(csv.reader(file))
        numbers = [line[0] for line in csv.reader(file)]
    assert names == ["epoch", *LOSSES, "validation_auroc", "images_per_second", "seconds"]
    assert numbers == ["1", "2"]
    assert [record["epoch"] for record in read_history(tmp_path / "history.csv")] == [1, 2]


def test_an_epoch_without_auroc_is_read_as_none(run, tmp_path):
    run(images(20, 0), [None])
    assert read_history(tmp_path / "history.csv")[0]["validation_auroc"] is None


def test_before_the_first_epoch_there_is_no_history(tmp_path):
    assert read_history(tmp_path / "history.csv") == []


def test_a_resumed_run_goes_on_where_it_was(run):
    first = {"epoch": 1.0, **LOSSES, "validation_auroc": 0.9}
    first |= {"images_per_second": 10.0, "seconds": 100.0}
    watched, saved = run(images(20, 20), [ranking(0.75)], records=[first])
    assert [record["epoch"] for record in watched.records] == [1, 2]
    assert watched.records[1]["seconds"] > 100
    assert saved == []  # epoch 1 was better, and its weights are there


def test_each_epoch_is_logged_in_one_line(run, caplog):
    caplog.set_level(logging.INFO, "ganad_tf")
    run(images(20, 20), [ranking(0.75)], epochs=3)
    (line,) = caplog.messages
    assert line.startswith("epoch   1/3  G 1.500  D_N 0.500  D_A 0.250  validation AUROC 0.7500  ")
    assert line.endswith(" left")


def test_validation_is_a_fixed_draw_of_both_kinds(tmp_path, monkeypatch):
    monkeypatch.setattr(history, "MAX_IMAGES", 20)
    draws = [History(tmp_path / "h", tmp_path / "b", images(50, 30), 1, []) for _ in range(2)]
    assert [draw.is_anomaly.sum() for draw in draws] == [10, 10]
    assert len(draws[0].images) == 20


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_lost_stops_the_run_and_is_named(value):
    stop = StopWhenNotFinite()
    stop.on_epoch_begin(2)
    stop.on_train_batch_end(0, LOSSES)
    stop.on_train_batch_end(1, None)
    with pytest.raises(TrainingError, match=r"loss 'abc' must stay finite.* in epoch 3, batch 5"):
        stop.on_train_batch_end(4, {**LOSSES, "abc": value})


@pytest.mark.parametrize(("value", "stops"), [(1.0, False), (math.nan, True), (math.inf, True)])
def test_weights_that_are_not_finite_after_an_epoch_stop_the_run(value, stops):
    generator = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    generator.set_weights([np.full((1, 1), value), np.zeros(1)])
    watching = StopWhenNotFinite()
    model = keras.Sequential()
    model.averaged_generator = generator
    watching.set_model(model)
    watching.on_epoch_begin(2)
    with pytest.raises(TrainingError, match="after epoch 3") if stops else nullcontext():
        watching.on_epoch_end(2)
