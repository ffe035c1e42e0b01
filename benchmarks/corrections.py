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
import tempfile
from pathlib import Path

from sklearn.metrics import roc_auc_score

from benchmarks.commands import run_command
from benchmarks.real_defects import (
    BRIEF,
    Parts,
    Pictures,
    components_of,
    draw_labels,
    find_pictures,
    train,
    write_folder,
)
from benchmarks.results_file import missing_cells, save
from export.runtime import Scorer
from ganad_tf.atomic_files import read_json
from ganad_tf.errors import UsageError, run_cli
from ganad_tf.run_folder import DETECTOR, METRICS

SPLITS = ("0", "1", "2")
LABELS, CORRECTED = 1, 10
SHORT = ["--epochs", "1", "--steps-per-epoch", "2"]


def run_cell(pictures: Pictures, cell: str, short: bool = False) -> dict:
    """Runs one split; returns what is kept of it."""
    # The first label and the ten corrections.
    held = LABELS + CORRECTED
    parts = draw_labels(pictures, held, int(cell), held_back=held)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = dataclasses.replace(parts, labelled=parts.labelled[:LABELS])
        results, flags = {}, {}
        for label, some in (("one", one), ("eleven", parts)):
            write_folder(pictures, some, folder / label / "cells")
            cache = folder / label / "cache"
            flags[label], _ = train(folder / label, cache, SHORT if short else BRIEF)
            results[label] = _export_and_score(folder / label, "exported", pictures, parts)
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


def _export_and_score(folder: Path, name: str, pictures: Pictures, parts: Parts) -> dict:
    """Exports the run in `folder`, and scores the test by its model."""
    output, run = folder / name, folder / "run"
    run_command(folder / "cache", "-m", "export", run, "--formats", "onnx", "--output", output)
    files = [pictures.folder / pictures.names[index] for index in parts.test]
    scores = [record["score"] for record in Scorer(output / "model.onnx").score_files(files)]
    return {
        "auroc": float(roc_auc_score(pictures.is_anomaly[parts.test], scores)),
        "in_training": read_json(run / METRICS)["auroc"],
        "components": components_of(run),
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
    for cell in missing_cells(flags.cells, lambda cell: f"corrections-{cell}", flags.short):
        result = run_cell(pictures, cell, flags.short)
        if flags.short:
            print(json.dumps(result, indent=2))
        else:
            save(f"corrections-{cell}", result)
        aurocs = ", ".join(f"{name} {value:.4f}" for name, value in result["auroc"].items())
        print(f"split {cell}: AUROC {aurocs}", flush=True)


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
