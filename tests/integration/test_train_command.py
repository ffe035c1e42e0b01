"""`train.py` as a user runs it, on the real Fashion-MNIST, for seconds."""

import csv
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import ganad_tf.training.model  # noqa: F401  registers the classes that model.keras names
from ganad_tf.errors import run_cli

ROOT = Path(__file__).parents[2]
SHORT = ("--epochs", "2", "--steps-per-epoch", "4", "--width", "4", "--discriminator-width", "4")


# Stands for the tracker's package; tests/test_tracking.py has the real one.
MLFLOW = """
import json, os, types
def keep(*call):
    with open(os.environ["CALLS"], "a") as file:
        file.write(json.dumps(call) + "\\n")
def start_run(run_id, run_name):
    keep("start", run_id, run_name)
    return types.SimpleNamespace(info=types.SimpleNamespace(run_id="first"))
def log_params(values): keep("params", values["plan/epochs"])
def log_metrics(values, step=None): keep("metrics", step, "test/auroc" in values)
def log_artifact(path, below=None): pass
def end_run(status): keep("end", status)
"""


def train(*flags, **kwargs):
    return subprocess.run(
        [sys.executable, "train.py", *map(str, flags)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        **kwargs,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "normal 7"
    result = train("--normal", "sneaker", "--output", folder, "--baselines", *SHORT)
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def test_a_run_ends_with_metrics_scores_plots_and_a_report(run):
    folder, output = run
    metrics = json.loads((folder / "metrics.json").read_text())
    assert f"test AUROC {metrics['auroc']:.4f}" in output
    assert (metrics["n_normal"], metrics["n_anomaly"]) == (1000, 9000)
    assert set(metrics["baselines"]) == {"autoencoder (normal images only)", "random scores"}
    assert metrics["baselines"]["random scores"]["auroc"] == pytest.approx(0.5, abs=0.05)
    assert len(list((folder / "plots").glob("*.png"))) == 7
    report = (folder / "report.html").read_text()
    assert "Sneaker" in report
    assert "http" not in report.split("base64,")[0]


def test_the_written_scores_give_the_reported_decisions(run):
    folder, _ = run
    metrics = json.loads((folder / "metrics.json").read_text())
    with (folder / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    alarms = sum(int(row["is_anomaly"]) for row in rows if row["label"] == "0")
    assert len(rows) == 10000
    assert alarms == metrics["confusion"]["fp"]
    assert all(
        (float(row["score"]) > metrics["threshold"]) == int(row["is_anomaly"]) for row in rows
    )


def test_a_killed_run_resumes_to_the_same_result(run, tmp_path):
    """Weights and scores are those of an unbroken run, bit for bit; its tracker sees one run."""
    folder, _ = run
    broken = tmp_path / "broken"
    (tmp_path / "mlflow.py").write_text(MLFLOW)
    tracked = {**os.environ, "PYTHONPATH": str(tmp_path), "CALLS": str(tmp_path / "calls")}
    code = (
        "from ganad_tf.environment import start_tensorflow\n"
        "start_tensorflow()  # as train.py does before it imports TensorFlow\n"
        "import sys, runpy, ganad_tf.training.checkpoint as c\n"
        "save = c.Checkpoint.on_epoch_end\n"
        "def then_die(self, epoch, logs=None):\n"
        "    save(self, epoch, logs)\n"
        "    import os; os._exit(9)\n"
        "c.Checkpoint.on_epoch_end = then_die\n"
        "runpy.run_path('train.py', run_name='__main__')\n"
    )
    flags = ["--normal", "sneaker", "--output", str(broken), "--track", "mlflow", *SHORT]
    killed = subprocess.run(
        [sys.executable, "-c", code, *flags],
        cwd=ROOT,
        env=tracked,
        capture_output=True,
        timeout=600,
    )
    assert killed.returncode == 9
    assert not (broken / "metrics.json").exists()
    different = train("--resume", broken, "--seed", 1)
    assert different.returncode == 2
    assert "seed: 0 != 1" in different.stderr
    split = json.loads((broken / "split.json").read_text())
    (broken / "split.json").write_text(json.dumps({**split, "fingerprint": "another"}))
    leaking = train("--resume", broken, env=tracked)
    assert leaking.returncode == 1
    assert "expected the images and the split that the run was begun with" in leaking.stderr
    (broken / "split.json").write_text(json.dumps(split))
    resumed = train("--resume", broken, env=tracked)
    assert resumed.returncode == 0, resumed.stderr
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert calls == [
        ["start", None, "broken"],
        ["params", 2],
        ["metrics", 1, False],
        ["start", "first", None],
        ["metrics", 2, False],
        ["metrics", None, True],
        ["end", "FINISHED"],
    ]
    assert "resuming after epoch 1" in resumed.stdout
    unbroken, resumed = (keras.saving.load_model(f / "model.keras") for f in (folder, broken))
    for ours, theirs in zip(unbroken.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (folder / "scores.csv").read_bytes() == (broken / "scores.csv").read_bytes()
    assert not (broken / "checkpoint.weights.h5").exists()
    report = (broken / "report.html").read_text()
    assert f"--normal sneaker --output {broken}" in report
    assert "--resume" not in report


def test_a_corrupt_checkpoint_is_named(run, tmp_path):
    folder = tmp_path / "corrupt"
    folder.mkdir()
    shutil.copy(run[0] / "config.json", folder)
    (folder / "checkpoint.weights.h5").write_bytes(b"not a checkpoint")
    result = train("--resume", folder)
    assert result.returncode == 1
    assert "checkpoint.weights.h5" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--normal", "10"], 2, "Received: '10'"),
        (["--normal", "kimono"], 2, "Received: 'kimono'"),
        (["--image-size", "40"], 2, "--image-size must be a multiple of 16"),
        (["--image-size", "512"], 2, "--image-size must be in [32, 256]"),
        (["--batch-size", "7"], 2, "--batch-size must be even"),
        (["--loss-weight", "abc=-1"], 2, "Received: 'abc=-1'"),
        (["--clusters", "some"], 2, "must be a number or auto. Received: 'some'"),
        (["--seed", "4294967296"], 2, "--seed must be in [0, 2147483647]"),
        (["--preset", "paper", "--score", "classifier"], 2, "feature_abc above 0"),
        (["--devices", "gpu:99"], 2, "--devices gpu:99 needs 99 GPU"),
        (["--idx-dir", "/nowhere"], 1, "/nowhere"),
        (["--output", "/dev/null/nope"], 2, "/dev/null is a file"),
    ],
)
def test_bad_input_gets_one_clear_line(flags, code, message, tmp_path, monkeypatch, capsys):
    # In this process: ten times starting TensorFlow would take a minute.
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.setattr(sys, "argv", ["train.py", "--output", str(tmp_path / "run"), *flags])
    command = importlib.import_module("train")
    assert run_cli(command.main) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert message in lines[-1]
    assert not (tmp_path / "run").exists()


def test_an_earlier_run_is_not_overwritten_by_accident(run):
    folder, _ = run
    before = (folder / "metrics.json").read_bytes()
    result = train("--normal", "sneaker", "--output", folder, *SHORT)
    assert result.returncode == 2
    assert "add --overwrite" in result.stderr
    assert (folder / "metrics.json").read_bytes() == before


def test_a_folder_of_another_program_is_never_overwritten(tmp_path):
    (tmp_path / "config.json").write_text('{"name": "a web app"}')
    (tmp_path / "thesis.tex").write_text("years of work")
    result = train("--normal", "sneaker", "--output", tmp_path, "--overwrite", *SHORT)
    assert result.returncode == 2
    assert "holds other files" in result.stderr
    assert (tmp_path / "thesis.tex").exists()


def test_help_teaches_and_waits_for_nothing():
    result = train("--help")
    assert result.returncode == 0
    assert "python train.py --normal 7" in result.stdout
