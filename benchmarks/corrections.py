"""Corrections: do ten of them, after deployment, teach what eleven labels in training teach?

    pip install elpv-dataset                             once: 91 MB, CC BY-NC-SA 4.0
    python -m benchmarks.corrections                     all splits (an hour)
    python -m benchmarks.corrections --cells 0           some splits
    python -m benchmarks.corrections --short             a training of two steps, nothing kept

Solar cells (ELPV), the protocol of benchmarks.real_defects with one more anomaly held back. Two
runs are trained, with one label and with eleven. The first one then gets the other ten as
corrections, by `recalibrate --run RUN --corrections CSV`, without training, and is exported. All
are judged by the same test cells, scored by their exported models.

Each finished split is kept at once as benchmarks/results/corrections-SPLIT.json; a second call goes
on with those that are missing.
"""

import argparse
import csv
import dataclasses
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.commands import run_command
from benchmarks.real_defects import (
    BRIEF,
    TEST_SHARE,
    VALIDATION_SHARE,
    Parts,
    Pictures,
    find_pictures,
    write_folder,
)
from benchmarks.results_file import RESULTS, save
from export.runtime import Scorer
from ganad_tf.atomic_files import read_json
from ganad_tf.errors import UsageError, run_cli
from ganad_tf.run_folder import DETECTOR, METRICS
from ganad_tf.settings.names import TRAINED_COMPONENTS

SPLITS = ("0", "1", "2")
LABELS, CORRECTED = 1, 10
SHORT = ("--epochs", "1", "--steps-per-epoch", "2")


def draw(pictures: Pictures, seed: int) -> Parts:
    """The parts of a split; `labelled` holds the first label and the ten corrections."""
    rng = np.random.default_rng(seed)
    normal = rng.permutation(np.flatnonzero(~pictures.is_anomaly))
    anomalous = rng.permutation(np.flatnonzero(pictures.is_anomaly))
    n_test = round(TEST_SHARE * len(normal))
    test, rest = normal[:n_test], normal[n_test:]
    n_validation = round(VALIDATION_SHARE * len(rest))
    held = LABELS + CORRECTED
    return Parts(
        rest[n_validation:],
        rest[:n_validation],
        anomalous[:held],
        np.concatenate([test, anomalous[held:]]),
    )


def run_cell(pictures: Pictures, cell: str, short: bool = False) -> dict:
    """Runs one split; returns what is kept of it."""
    parts = draw(pictures, int(cell))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flags = list(SHORT if short else BRIEF)
        one = dataclasses.replace(parts, labelled=parts.labelled[:LABELS])
        results = {}
        for label, some in (("one", one), ("eleven", parts)):
            results[label] = _train_and_score(folder / label, pictures, some, flags)
        run = folder / "one" / "run"
        corrections = folder / "corrections.csv"
        with open(corrections, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label"])
            for index in parts.labelled[LABELS:]:
                writer.writerow([pictures.folder / pictures.names[index], "anomaly"])
        run_command(
            folder / "cache", "-m", "export.recalibrate", "--run", run, "--corrections", corrections
        )
        results["corrected"] = _export_and_score(folder / "one", "corrected", pictures, parts)
        scorer = read_json(run / DETECTOR / "scorer.json")
    aurocs = {name: result["auroc"] for name, result in results.items()}
    return {
        "cell": cell,
        "flags": flags,
        "corrections": CORRECTED,
        "test_images": len(parts.test),
        "auroc": aurocs,
        "difference": abs(aurocs["corrected"] - aurocs["eleven"]),
        "components": {name: result.get("components") for name, result in results.items()},
        "recalibrated": scorer["explanation"]["recalibrated"],
    }


def _train_and_score(folder: Path, pictures: Pictures, parts: Parts, flags: list[str]) -> dict:
    """Trains as a user would; in full only where the score needs the generator."""
    write_folder(pictures, parts, folder / "cells")
    data = ["--data", folder / "cells", "--split", folder / "cells" / "split.csv"]
    run_command(folder / "cache", "train.py", "--output", folder / "run", *data, *flags)
    if flags == BRIEF and not _is_brief_enough(folder / "run"):
        run_command(folder / "cache", "train.py", "--output", folder / "run", "--overwrite", *data)
    return _export_and_score(folder, "exported", pictures, parts)


def _is_brief_enough(run: Path) -> bool:
    """Whether the score has no part that the generator's training changes."""
    components = read_json(run / DETECTOR / "scorer.json")["components"]
    return {one["name"] for one in components}.isdisjoint(TRAINED_COMPONENTS)


def _export_and_score(folder: Path, name: str, pictures: Pictures, parts: Parts) -> dict:
    """Exports the run in `folder`, and scores the test by its model."""
    output, run = folder / name, folder / "run"
    run_command(folder / "cache", "-m", "export", run, "--formats", "onnx", "--output", output)
    files = [pictures.folder / pictures.names[index] for index in parts.test]
    scores = [record["score"] for record in Scorer(output / "model.onnx").score_files(files)]
    components = read_json(run / DETECTOR / "scorer.json")["components"]
    return {
        "auroc": float(roc_auc_score(pictures.is_anomaly[parts.test], scores)),
        "in_training": read_json(run / METRICS)["auroc"],
        "components": {one["name"]: one["weight"] for one in components},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--cells", nargs="+", default=SPLITS, metavar="SPLIT")
    parser.add_argument("--short", action="store_true", help="only see that everything runs")
    flags = parser.parse_args()
    for cell in flags.cells:
        if not cell.isdecimal():
            raise UsageError(f"--cells must be numbers of splits. Received: {cell}")
    pictures = find_pictures()
    missing = [
        cell
        for cell in flags.cells
        if flags.short or not (RESULTS / f"corrections-{cell}.json").exists()
    ]
    print(f"{len(flags.cells)} cells, {len(flags.cells) - len(missing)} kept already", flush=True)
    for cell in missing:
        result = run_cell(pictures, cell, flags.short)
        if flags.short:
            print(json.dumps(result, indent=2))
        else:
            save(f"corrections-{cell}", result)
        aurocs = ", ".join(f"{name} {value:.4f}" for name, value in result["auroc"].items())
        print(f"split {cell}: AUROC {aurocs}", flush=True)


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
