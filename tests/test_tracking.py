"""`--track`: what trackers are told, in their own words; a resumed run goes on in its run."""

import configparser
import contextlib
import json
import logging
import os
import sys
import types
from pathlib import Path

import pytest

from ganad_tf.errors import ArtefactError, UsageError
from ganad_tf.tracking import BACKENDS, Tracker, choose_tracker, flat


class Library(types.ModuleType):
    """Stands for a tracker's package: keeps every call as (name, arguments, keywords)."""

    def __init__(self, name):
        super().__init__(name)
        self.calls, self.broken, self.run = [], set(), None

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*arguments, **keywords):
            if name in self.broken:
                raise ConnectionError("no answer\nfrom the server")
            self.calls.append((name, arguments, keywords))
            return self.run

        return call

    def called(self, name):
        return [(a, k) for called, a, k in self.calls if called == name]


def unset(monkeypatch, *names):
    """Removes environment variables; what a test sets is removed again afterwards."""
    for name in names:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def mlflow(monkeypatch):
    library = Library("mlflow")
    library.run = types.SimpleNamespace(info=types.SimpleNamespace(run_id="m1"))
    monkeypatch.setitem(sys.modules, "mlflow", library)
    unset(monkeypatch, "MLFLOW_DISABLE_TELEMETRY")
    return library


@pytest.fixture
def wandb(monkeypatch):
    library = Library("wandb")
    library.run = Library("wandb.run")
    library.run.id = "w1"
    library.run.config, library.run.summary = Library("config"), Library("summary")
    monkeypatch.setitem(sys.modules, "wandb", library)
    unset(monkeypatch, "WANDB_MODE", "WANDB_PROJECT", "WANDB_ERROR_REPORTING")
    return library


METRICS = {
    **{"auroc": 0.75, "recall": None, "threshold": 2.5, "normal": "good", "n_normal": 3},
    **{"auroc_by_kind": {"big (red) scratch": 1.0}, "confusion": {"fp": 1}},
    **{"scorer": {"normal_images": 9}, "clusters": {"k": 3}},
}
RECORD = {"epoch": 2, "generator": 1.5, "validation_auroc": None, "seconds": 4.0}


@pytest.fixture
def run(tmp_path):
    """A run folder as training leaves it."""
    folder = tmp_path / "photos"
    (folder / "plots").mkdir(parents=True)
    contents = {
        "config.json": {"seed": 1, "known": None, "loss_weights": {"abc": 2.0}},
        "plan.json": {"epochs": 5, "reasons": {"epochs": "a sentence"}},
        "metrics.json": METRICS,
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "report.html").write_text("<!DOCTYPE html>")
    (folder / "plots" / "samples.png").write_bytes(b"png")
    return folder


def follow(tracker, folder):
    tracker.start("photos")
    with tracker.following(folder):
        tracker.log_settings(folder)
        tracker.log_epoch(RECORD)


SETTINGS = {"seed": 1, "loss_weights/abc": 2.0, "plan/epochs": 5}
EPOCH = {"generator": 1.5, "seconds": 4.0}
RESULTS = {
    **{"test/auroc": 0.75, "test/threshold": 2.5, "test/n_normal": 3.0, "test/confusion/fp": 1.0},
    "test/auroc_by_kind/big _red_ scratch": 1.0,
}


def test_mlflow_gets_settings_epochs_results_and_files(mlflow, run):
    follow(Tracker("mlflow"), run)
    assert mlflow.called("start_run") == [((), {"run_id": None, "run_name": "photos"})]
    assert mlflow.called("log_params") == [((SETTINGS,), {})]
    assert mlflow.called("log_metrics") == [((EPOCH,), {"step": 2}), ((RESULTS,), {})]
    saved = {
        os.path.relpath(path, run): below for (path, below), _ in mlflow.called("log_artifact")
    }
    files = ("report.html", "metrics.json", "config.json", "plan.json")
    assert saved == {**dict.fromkeys(files), "plots/samples.png": "plots"}
    assert mlflow.calls[-1] == ("end_run", ("FINISHED",), {})
    assert json.loads((run / "tracker.json").read_text()) == {"tracker": "mlflow", "run": "m1"}


def test_settings_are_told_once_even_if_no_epoch_is_left(mlflow, run):
    tracker = Tracker("mlflow")
    tracker.start("photos")
    with tracker.following(run):
        pass
    assert mlflow.called("log_params") == [((SETTINGS,), {})]


def test_wandb_gets_settings_epochs_results_and_files(wandb, run):
    follow(Tracker("wandb"), run)
    begun = {"project": "ganad_tf", "name": "photos", "id": None, "resume": None}
    assert wandb.called("init") == [((), begun)]
    assert wandb.run.config.called("update") == [((SETTINGS,), {})]
    assert wandb.run.called("log") == [((EPOCH,), {"step": 2})]
    assert wandb.run.summary.called("update") == [((RESULTS,), {})]
    saved = [os.path.relpath(path, run) for (path,), _ in wandb.run.called("save")]
    assert {"report.html", "plots/samples.png"} < set(saved)
    assert all(k == {"base_path": str(run), "policy": "now"} for _, k in wandb.run.called("save"))
    assert wandb.run.calls[-1] == ("finish", (), {"exit_code": 0})


def test_nothing_is_sent_over_a_network_unless_the_user_configured_it(mlflow, wandb, monkeypatch):
    Tracker("mlflow")
    Tracker("wandb")
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["WANDB_MODE"] == "offline"
    monkeypatch.setenv("WANDB_MODE", "online")
    Tracker("wandb")
    assert os.environ["WANDB_MODE"] == "online"


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "KILLED"), (ValueError, "FAILED")]
)
def test_a_stopped_run_is_told_so_and_goes_on_in_its_run(mlflow, run, error, status):
    tracker = choose_tracker("mlflow", None)
    tracker.start("photos")
    with pytest.raises(error), tracker.following(run):
        raise error
    assert mlflow.calls[-1] == ("end_run", (status,), {})
    follow(choose_tracker(None, run), run)
    assert mlflow.called("start_run")[1] == ((), {"run_id": "m1", "run_name": None})
    assert not mlflow.called("log_params"), "MLflow refuses other values of a run's parameters"


def test_a_resumed_run_may_leave_its_tracker_but_not_change_it(mlflow, wandb, run):
    follow(Tracker("mlflow"), run)
    assert choose_tracker("none", run) is None
    with pytest.raises(UsageError, match=r"--track must be mlflow, .* or none. Received: wandb"):
        choose_tracker("wandb", run)
    (run / "tracker.json").unlink()
    assert choose_tracker(None, run) is None
    assert choose_tracker("wandb", run).name == "wandb"


@pytest.mark.parametrize("record", [{"tracker": "other", "run": "1"}, {"tracker": "mlflow"}, {}])
def test_a_damaged_record_is_named(record, run, mlflow):
    (run / "tracker.json").write_text(json.dumps(record))
    with pytest.raises(ArtefactError, match=r"tracker.json: expected `tracker`.* Received: "):
        choose_tracker(None, run)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_missing_package_names_its_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=rf"--track {name} needs .*'ganad_tf\[{name}\]'"):
        choose_tracker(name, None)


def test_every_tracker_has_an_extra():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[1] / "setup.cfg")
    assert set(BACKENDS) <= set(setup["options.extras_require"])


def test_a_tracker_that_cannot_be_reached_is_an_error_before_training(mlflow):
    mlflow.broken = {"start_run"}
    with pytest.raises(ArtefactError, match=r"expected a tracker .* ConnectionError: no answer$"):
        Tracker("mlflow").start("photos")
    with pytest.raises(ArtefactError, match=r"expected its run m1 .* no answer$"):
        Tracker("mlflow", "m1").start("photos")


def test_a_tracker_that_fails_later_does_not_cost_the_training(mlflow, run, caplog):
    caplog.set_level(logging.WARNING)
    mlflow.broken = {"log_metrics"}
    follow(Tracker("mlflow"), run)
    assert caplog.text.count("mlflow no longer follows this run, which goes on: Connection") == 1
    assert not mlflow.called("end_run")


def test_names_are_flat():
    nested = {"a": {"b": 1, "c": {"d": 2}}, "e": 3, "left": 4}
    assert flat(nested, "x", ["left"]) == {"x/a/b": 1, "x/a/c/d": 2, "x/e": 3}


def test_the_real_mlflow_keeps_a_run_in_the_current_folder(run, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    unset(monkeypatch, "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID")
    monkeypatch.chdir(tmp_path)
    tracker = choose_tracker("mlflow", None)
    tracker.start("photos")
    with contextlib.suppress(KeyboardInterrupt), tracker.following(run):
        tracker.log_settings(run)
        tracker.log_epoch({**RECORD, "epoch": 1})
        raise KeyboardInterrupt
    client = mlflow.MlflowClient()
    assert client.get_run(tracker.run).info.status == "KILLED"
    follow(choose_tracker(None, run), run)
    kept = client.get_run(tracker.run)
    assert (kept.info.run_name, kept.info.status) == ("photos", "FINISHED")
    assert kept.data.params == {name: str(value) for name, value in SETTINGS.items()}
    assert RESULTS.items() <= kept.data.metrics.items()
    epochs = [metric.step for metric in client.get_metric_history(tracker.run, "generator")]
    assert epochs == [1, 2]
    names = {file.path for file in client.list_artifacts(tracker.run)}
    assert names >= {"report.html", "plots", "metrics.json"}
    assert len(client.search_runs([kept.info.experiment_id])) == 1
    assert (tmp_path / "mlflow.db").is_file()
