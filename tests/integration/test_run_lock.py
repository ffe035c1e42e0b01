"""Two commands on one run folder: the second is refused, and nothing of the first is touched."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
SMALL = (
    *("--steps-per-epoch", "2", "--batch-size", "8", "--width", "2", "--discriminator-width", "2"),
    *("--image-size", "32", "--encoder", "none"),
)


def command(*flags):
    return [sys.executable, "train.py", *map(str, flags)]


def train(*flags):
    return subprocess.run(
        command(*flags), cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def photos(tmp_path, rng):
    for kind, count in (("normal", 40), ("anomaly", 10)):
        folder = tmp_path / "photos" / kind
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (32, 32), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "photos"


def test_a_run_at_work_is_neither_overwritten_nor_resumed_until_its_process_ends(photos, tmp_path):
    run = tmp_path / "run"
    endless = command("--data", photos, "--output", run, "--epochs", "100000", *SMALL)
    with (tmp_path / "log").open("w") as log:
        first = subprocess.Popen(endless, cwd=ROOT, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 240
        while not (run / "checkpoint.weights.h5").exists():
            assert first.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        config = (run / "config.json").read_bytes()
        over = ("--data", photos, "--output", run, "--overwrite", "--seed", "4", *SMALL)
        for second in (train(*over), train("--resume", run)):
            assert second.returncode == 2, second.stderr
            line = second.stderr.strip().splitlines()[-1]
            assert line.startswith(f"error: {run}: expected a folder that no other process writes")
            assert f"in use by process {first.pid} on " in line
        assert first.poll() is None
        assert (run / "config.json").read_bytes() == config
        assert (run / "history.csv").exists()
    finally:
        first.kill()
        first.wait()
    after = train(*over, "--epochs", "1")
    assert after.returncode == 0, after.stderr
    assert json.loads((run / "config.json").read_text())["seed"] == 4
    assert len((run / "history.csv").read_text().splitlines()) == 2
    split = json.loads((run / "split.json").read_text())
    assert json.loads((run / "metrics.json").read_text())["fingerprint"] == split["fingerprint"]
