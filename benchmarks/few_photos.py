"""Few photos of solar cells: is the promised rate of false alarms kept, and at what cost?

    pip install elpv-dataset                       once: 91 MB, CC BY-NC-SA 4.0
    python -m benchmarks.few_photos                all cells (about half an hour)
    python -m benchmarks.few_photos --cells 40-0

Cells are PHOTOS-SPLIT. PHOTOS normal pictures are not for testing, a tenth of them is the
validation part, and ten anomalies are labelled. The test is that of `benchmarks.real_defects`. Each
cell is trained by `train.py --data DIR --split SPLIT`, whose threshold rests on training pictures,
too. The same run is then calibrated on its validation pictures alone. Each finished cell is kept
at once as benchmarks/results/few_photos/CELL.json; a second call goes on with those that are
missing. Splits 0 to 5 are reported; the rule was chosen on splits 10, 11 and 12.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.real_defects import (
    BRIEF,
    CACHE,
    VALIDATION_SHARE,
    Parts,
    draw_labels,
    find_pictures,
    train,
    write_folder,
)
from benchmarks.results_file import missing_cells, save
from ganad_tf.atomic_files import read_json
from ganad_tf.errors import run_cli
from ganad_tf.settings.names import CROSS_FITTED

PHOTOS = (20, 40, 60, 100)
SPLITS = (0, 1, 2, 3, 4, 5)
LABELLED = 10


def run_cell(photos: int, split: int) -> dict[str, Any]:
    """Trains and tests one cell; returns what is kept of it."""
    pictures = find_pictures()
    parts = draw_labels(pictures, LABELLED, split)
    normal = np.concatenate([parts.train, parts.validation])[:photos]
    held = max(1, round(VALIDATION_SHARE * photos))
    parts = Parts(normal[held:], normal[:held], parts.labelled, parts.test)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_folder(pictures, parts, folder / "cells")
        train(folder, CACHE, BRIEF)
        results = calibrations(folder / "run")
    return {"photos": photos, "held_out": held, "split": split, **results}


def calibrations(run: Path) -> dict[str, Any]:
    """The test's figures of a finished run as it is, and with validation images alone."""
    from export.run import load_run
    from ganad_tf.plan import Plan
    from ganad_tf.scoring import fit_detector

    detector, splits = load_run(run, argparse.Namespace(data=None, data_dir=None, idx_dir=None))
    plan = Plan.from_dict(read_json(run / "plan.json"))
    alone = dataclasses.replace(plan, cross_fit=False)
    measurer = detector.measurer
    others = {
        "default": detector,
        "validation alone": fit_detector(measurer.generator, splits, alone, measurer.encoder),
    }
    truth = splits.test.is_anomaly
    images = np.asarray(splits.test.images[np.arange(len(truth))])
    results: dict[str, Any] = {}
    for name, one in others.items():
        found = one.run(images, outputs=("score", "is_anomaly", "mask"))
        marked = found["mask"].any(axis=(1, 2))
        results[name] = {
            "auroc": float(roc_auc_score(truth, found["score"])),
            "rule": one.scorer.explanation["threshold"],
            "cross_fitted": one.scorer.explanation.get(CROSS_FITTED, 0),
            "false_alarm_rate": float(found["is_anomaly"][~truth].mean()),
            "recall": float(found["is_anomaly"][truth].mean()),
            "marked_normal_rate": float(marked[~truth].mean()),
            "components": sorted(component.name for component in one.scorer.components),
        }
    return results


def main() -> None:
    cells = [f"{photos}-{split}" for split in SPLITS for photos in PHOTOS]
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--cells", nargs="+", default=cells, metavar="PHOTOS-SPLIT")
    flags = parser.parse_args()
    for cell in flags.cells:
        if not all(part.isdecimal() for part in cell.split("-")) or cell.count("-") != 1:
            parser.error(f"argument --cells: expected PHOTOS-SPLIT. Received: {cell}")
    for cell in missing_cells(flags.cells, _name):
        photos, split = map(int, cell.split("-"))
        result = run_cell(photos, split)
        save(_name(cell), result)
        for name in ("default", "validation alone"):
            one = result[name]
            print(
                f"{cell:8} {name:17} AUROC {one['auroc']:.4f}, false alarms "
                f"{one['false_alarm_rate']:.1%}, found {one['recall']:.1%} ({one['rule']})",
                flush=True,
            )


def _name(cell: str) -> str:
    return f"few_photos/{cell}"


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
