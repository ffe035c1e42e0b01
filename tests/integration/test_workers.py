"""Two worker processes over loopback, as two machines would run `train.py`."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHORT = (
    *("--epochs", "4", "--steps-per-epoch", "4", "--batch-size", "32"),
    *("--width", "4", "--discriminator-width", "4"),
)


def start(*flags):
    """Starts both workers of a new cluster."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    cluster = {"worker": addresses}
    return [
        subprocess.Popen(
            [sys.executable, "train.py", "--normal", "7", *map(str, flags)],
            cwd=ROOT,
            env={
                **os.environ,
                "TF_CONFIG": json.dumps(
                    {"cluster": cluster, "task": {"type": "worker", "index": index}}
                ),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]


def finish(workers):
    """Waits for both; returns the digest that each printed."""
    outputs = [worker.communicate(timeout=300) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs[0][1][-2000:]
    return [out.split("weights ")[1].split()[0] for out, _ in outputs]


@pytest.mark.slow
def test_two_workers_train_one_model_and_survive_the_loss_of_one(tmp_path):
    chief, helper = finish(start("--output", tmp_path / "whole", *SHORT))
    assert chief == helper
    broken = tmp_path / "broken"
    workers = start("--output", broken, *SHORT)
    history = broken / "history.csv"
    deadline = time.monotonic() + 240
    while not (broken / "checkpoint.weights.h5").exists():
        assert time.monotonic() < deadline
        assert workers[0].poll() is None
        time.sleep(0.02)
    workers[1].kill()
    _, errors = workers[0].communicate(timeout=300)
    workers[1].communicate()
    if workers[0].returncode == 0:
        pytest.fail("the run ended before a worker could be killed")
    assert "start all workers again with --resume" in errors
    assert 0 < len(history.read_text().splitlines()) - 1 < 4
    assert finish(start("--resume", broken)) == [chief, chief]
    assert (broken / "metrics.json").exists()


def test_a_malformed_tf_config_is_refused():
    result = subprocess.run(
        [sys.executable, "train.py"],
        cwd=ROOT,
        env={**os.environ, "TF_CONFIG": '{"cluster": {}}'},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "TF_CONFIG must be" in result.stderr
