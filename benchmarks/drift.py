"""The drift monitor on streams of a real model's scores: false alarms, and brighter images.

    pip install elpv-dataset                   once: 91 MB, CC BY-NC-SA 4.0
    python -m benchmarks.drift                 trains and exports for some minutes, then simulates
    python -m benchmarks.drift --run RUN --model RUN/model.onnx
    python -m benchmarks.drift --short         ten streams of each kind, nothing kept

A run on pictures of solar cells (ELPV, ten labelled defects, split 0) is exported. Its model scores
the normal cells that it was not trained on, as they are and 15 % brighter. Each stream is a new
draw of these with replacement, so streams are exchangeable with the known values, which are drawn
in the same way: KNOWN scores and statistics stand for those that a model stores.

- `exchangeable`: 1000 streams of 2000 images. How many alarm?
- `brighter`: 1000 streams that become 15 % brighter after 1000 images. How many are flagged within
  200 images, and how many of these lines name brightness? Streams that alarm before are counted
  apart.

Kept as benchmarks/results/drift.json.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.commands import run_command
from benchmarks.real_defects import BRIEF, draw, find_pictures, write_folder
from benchmarks.results_file import save
from export.runtime import ANOMALY_SHARE, LIMIT, Monitor, Scorer, measure_pixels
from ganad_tf.data.folder.split_file import read_split
from ganad_tf.data.image_statistics import ranges_of
from ganad_tf.errors import UsageError, run_cli
from ganad_tf.run_folder import SPLIT_TABLE, load_config

KNOWN, STREAMS, LENGTH = (50, 200), 1000, 2000
CHANGE_AFTER, WITHIN, GAIN = 1000, 200, 1.15


class Values(NamedTuple):
    """Measurements of the held-out normal images.

    Args:
        scores: [N].
        rows: statistics of each image, [N, D].
        names: of the statistics, [D].
    """

    scores: np.ndarray
    rows: np.ndarray
    names: list[str]


def make_run(folder: Path) -> Path:
    """Trains and exports as a user would, each in a process of its own."""
    pictures, output = find_pictures(), folder / "run"
    write_folder(pictures, draw(pictures, "ten", 0), folder / "cells")
    data = ["--data", folder / "cells", "--split", folder / "cells" / "split.csv"]
    run_command(folder / "cache", "train.py", *data, *BRIEF, "--output", output)
    run_command(folder / "cache", "-m", "export", output, "--formats", "onnx")
    return output


def measure(scorer: Scorer, images: np.ndarray) -> Values:
    """Scores and statistics of images, uint8 [N, h, w, C]."""
    found = measure_pixels(images)
    rows = np.stack(list(found.values()), axis=1)
    return Values(scorer.score(images)["score"].astype(np.float64), rows, list(found))


def held_out(run: Path, scorer: Scorer) -> np.ndarray:
    """The normal images of validation and test, uint8 [N, h, w, C]."""
    root = Path(load_config(run).data)
    return np.stack(
        [
            scorer.read(root / entry.path)
            for entry in read_split(run / SPLIT_TABLE)
            if entry.part in ("validation", "test") and not entry.is_anomaly
        ]
    )


def streams_of(values: Values, known: int, count: int) -> Iterator[tuple[Monitor, np.ndarray]]:
    """Monitors, each of other known images, and the images of their streams, int [LENGTH]."""
    for number in range(count):
        rng = np.random.default_rng([known, number])
        some = rng.integers(len(values.scores), size=known)
        ranges = ranges_of(dict(zip(values.names, values.rows[some].T, strict=True)))
        monitor = Monitor(values.scores[some], ranges, seed=f"{known} {number}")
        yield monitor, rng.integers(len(values.scores), size=LENGTH)


def exchangeable(values: Values, known: int, streams: int) -> dict:
    """Alarms among streams without drift."""
    alarms: list[list[str]] = []
    for monitor, stream in streams_of(values, known, streams):
        for index in stream:
            monitor.add(float(values.scores[index]), values.rows[index])
        alarms += [list(monitor.drift)] * bool(monitor.drift)
    return {
        "known": known,
        "streams": streams,
        "images": LENGTH,
        "alarms": len(alarms),
        "alarms_of": {name: sum(name in one for one in alarms) for name in monitor.tests},
    }


def brighter(before: Values, after: Values, known: int, streams: int) -> dict:
    """Delays until streams are flagged whose images become brighter."""
    delays, named, early = [], 0, 0
    for monitor, stream in streams_of(before, known, streams):
        for count, index in enumerate(stream[: CHANGE_AFTER + WITHIN]):
            values = before if count < CHANGE_AFTER else after
            monitor.add(float(values.scores[index]), values.rows[index])
            if monitor.drift_at is not None:
                break
        if monitor.drift_at is not None and monitor.drift_at <= CHANGE_AFTER:
            early += 1
        elif monitor.drift_at is not None:
            delays.append(monitor.drift_at - CHANGE_AFTER)
            named += "brightness" in monitor.changes()
    return {
        "known": known,
        "streams": streams,
        "change_after": CHANGE_AFTER,
        "gain": GAIN,
        "alarms_before": early,
        "flagged_within": {str(limit): sum(d <= limit for d in delays) for limit in (50, 100, 200)},
        "delay": {f"{q} %": float(np.percentile(delays, q)) for q in (5, 50, 95)} if delays else {},
        "names_brightness": named,
    }


def simulate(run: Path, model: Path, streams: int) -> dict:
    """Scores the held-out images of a run by its model, and runs all streams."""
    scorer = Scorer(model)
    images = held_out(run, scorer)
    bright = np.clip(np.rint(images * GAIN), 0, 255).astype(np.uint8)
    before, after = (measure(scorer, one) for one in (images, bright))
    moved = {
        name: float((new - old).mean() / old.std())
        for name, old, new in zip(
            ("score", *before.names),
            (before.scores, *before.rows.T),
            (after.scores, *after.rows.T),
            strict=True,
        )
    }
    result = {
        "held_out": len(images),
        "limit": LIMIT,
        "anomaly_share": ANOMALY_SHARE,
        "moved_in_deviations": moved,
        "exchangeable": [],
        "brighter": [],
    }
    for known in KNOWN:
        for name, found in (
            ("exchangeable", exchangeable(before, known, streams)),
            ("brighter", brighter(before, after, known, streams)),
        ):
            result[name].append(found)
            print(name, json.dumps(found), flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--run", type=Path, help="a finished run on own images")
    parser.add_argument("--model", type=Path, help="its exported model.onnx")
    parser.add_argument("--short", action="store_true", help="only see that everything runs")
    flags = parser.parse_args()
    if (flags.run is None) != (flags.model is None):
        raise UsageError("--run and --model must be given together. Received: one of them")
    with tempfile.TemporaryDirectory() as name:
        run = flags.run or make_run(Path(name))
        result = simulate(run, flags.model or run / "model.onnx", 10 if flags.short else STREAMS)
    if not flags.short:
        save("drift", result)


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
