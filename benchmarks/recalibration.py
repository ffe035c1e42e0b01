"""Recalibration: does the stated interval hold where new images differ from those in training?

    python -m benchmarks.recalibration                      all cells (hours)
    python -m benchmarks.recalibration --cells gravel-0     some cells
    python -m benchmarks.recalibration --short              a training of two steps, nothing kept

gravel-SEED   SYNTHETIC defects on gravel at 128x128, 20 labelled with masks. The test tiles come
              from another region of the picture than those of training and validation.
elpv-SEED     pictures of solar cells (pip install elpv-dataset), trained on mono-crystalline cells
              with 10 labelled defects, used on poly-crystalline ones

Each model is trained, exported and recalibrated by the commands, as a user would, with 40 normal
images from the test and a promise of 5 % false alarms. The normal images that remain show whether
their false alarms lie in the interval that is stated for so many images, which they do with the
probability `confidence`. As one draw shows little, 1000 more draws of 40 images are judged by the
stored scores (`share_inside`). The AUROC before and after must be equal to the last digit.

Each finished cell is kept at once as benchmarks/results/recalibration-CELL.json; a second call goes
on with those that are missing.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.commands import run_command
from benchmarks.real_defects import VALIDATION_SHARE, Parts, Pictures, find_pictures, write_folder
from benchmarks.results_file import missing_cells, save
from benchmarks.texture_data import write_texture
from export.runtime import Scorer
from ganad_tf.atomic_files import read_json
from ganad_tf.calibration.thresholds import conformal_threshold
from ganad_tf.data.folder.split_file import read_split
from ganad_tf.errors import UsageError, run_cli
from ganad_tf.evaluation.false_alarms import CONFIDENCE, expected_alarms
from ganad_tf.run_folder import METRICS

SEEDS = (0, 1, 2)
CELLS = tuple(f"{what}-{seed}" for what in ("gravel", "elpv") for seed in SEEDS)
IMAGES, RATE, DRAWS = 40, 0.05, 1000
LABELLED = {"gravel": 20, "elpv": 10}
FLAGS = {"gravel": ("--preset", "small"), "elpv": ()}
SHORT = ("--epochs", "1", "--steps-per-epoch", "2", "--batch-size", "16", "--encoder", "none")


def run_cell(cell: str, short: bool = False) -> dict:
    """Runs one cell; returns what is kept of it."""
    what, _, number = cell.partition("-")
    with tempfile.TemporaryDirectory() as name:
        folder, seed = Path(name), int(number)
        data = folder / "data"
        if what == "gravel":
            write_texture(data, "gravel", 128, LABELLED[what], seed, mask_labelled=True)
        else:
            pictures = find_pictures()
            write_folder(pictures, mono_to_poly(pictures, seed), data)
        flags = [*FLAGS[what], *(SHORT if short else ())]
        split = ["--data", data, "--split", data / "split.csv", "--seed", seed]
        run_command(folder / "cache", "train.py", "--output", folder / "run", *split, *flags)
        run_command(folder / "cache", "-m", "export", folder / "run", "--formats", "onnx")
        tested = [entry for entry in read_split(data / "split.csv") if entry.part == "test"]
        result = recalibrate(
            folder,
            [data / entry.path for entry in tested if not entry.is_anomaly],
            [data / entry.path for entry in tested if entry.is_anomaly],
            seed,
        )
        metrics = read_json(folder / "run" / METRICS)
    kept = {name: metrics[name] for name in ("false_alarm_rate", "expected_false_alarm_rate")}
    return {"cell": cell, "flags": flags, "in_training": kept, **result}


def mono_to_poly(pictures: Pictures, seed: int) -> Parts:
    """Mono-crystalline cells to learn from, all poly-crystalline ones as the test."""
    rng = np.random.default_rng(seed)
    is_mono = pictures.kinds == "mono"
    normal = rng.permutation(np.flatnonzero(is_mono & ~pictures.is_anomaly))
    labelled = rng.permutation(np.flatnonzero(is_mono & pictures.is_anomaly))[: LABELLED["elpv"]]
    count = round(VALIDATION_SHARE * len(normal))
    return Parts(normal[count:], normal[:count], labelled, np.flatnonzero(~is_mono))


def recalibrate(
    folder: Path, normals: Sequence[Path], anomalies: Sequence[Path], seed: int
) -> dict:
    """Recalibrates run/model.onnx with some of the normal images, and judges by the others.

    Args:
        folder: with `run/model.onnx`; the new model is written into it.
        normals: files of normal test images, more than `IMAGES`.
        anomalies: files of anomalous ones.
        seed: of the draw of images.
    """
    chosen = np.random.default_rng(seed).permutation(len(normals)) < IMAGES
    (folder / "new").mkdir()
    for number in np.flatnonzero(chosen):
        shutil.copy(normals[number], folder / "new" / f"{number}{normals[number].suffix}")
    old, new = folder / "run" / "model.onnx", folder / "new.onnx"
    command = "-m", "export.recalibrate", old, folder / "new", "--output", new
    run_command(folder / "cache", *command, "--max-false-alarms", RATE)
    before, after = (_scores(path, [*normals, *anomalies]) for path in (old, new))
    is_anomaly = np.arange(len(before)) >= len(normals)
    rest = np.append(~chosen, np.zeros(len(anomalies), bool))
    scorer, limit = Scorer(new), Scorer(old).threshold
    aurocs = [float(roc_auc_score(is_anomaly, scores)) for scores in (before, after)]
    return {
        "normal_images": IMAGES,
        "promised": RATE,
        "confidence": CONFIDENCE,
        "remaining_images": int(rest.sum()),
        "threshold": {"before": limit, "after": scorer.threshold},
        "false_alarms_before": int((before[rest] > limit).sum()),
        "recall_before": float((before[is_anomaly] > limit).mean()),
        **judge(after[rest], scorer.normal_scores, scorer.threshold),
        "recall": float((after[is_anomaly] > scorer.threshold).mean()),
        "share_inside": share_inside(after[: len(normals)], seed),
        "auroc": dict(zip(("before", "after"), aurocs, strict=True)),
        "auroc_unchanged": aurocs[0] == aurocs[1],
        "scores_unchanged": bool(np.array_equal(before, after)),
        "recalibrated": json.loads(scorer.metadata["recalibrated"]),
    }


def judge(rest: np.ndarray, normal_scores: np.ndarray, threshold: float) -> dict:
    """Compares the false alarms among normal images with the stated interval.

    Args:
        rest: scores of the normal images that the threshold was not chosen on, [n].
        normal_scores: of those that it was chosen on.
        threshold: an image is called an anomaly if its score is greater.
    """
    low, high = expected_alarms(normal_scores, threshold, len(rest))
    alarms = int((rest > threshold).sum())
    return {"false_alarms": alarms, "low": low, "high": high, "inside": low <= alarms <= high}


def share_inside(scores: np.ndarray, seed: int) -> float:
    """In which share of draws the false alarms lie in the interval.

    Args:
        scores: of all normal test images, [N] with N above `IMAGES`.
        seed: of the draws.
    """
    rng = np.random.default_rng([seed, 1])
    inside = 0
    for _ in range(DRAWS):
        mixed = rng.permutation(scores)
        threshold = conformal_threshold(mixed[:IMAGES], RATE)
        inside += judge(mixed[IMAGES:], mixed[:IMAGES], threshold)["inside"]
    return inside / DRAWS


def _scores(model: Path, paths: Sequence[Path]) -> np.ndarray:
    return np.array([record["score"] for record in Scorer(model).score_files(paths)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--cells", nargs="+", default=CELLS, metavar="CELL")
    parser.add_argument("--short", action="store_true", help="only see that everything runs")
    flags = parser.parse_args()
    for cell in flags.cells:
        what, _, seed = cell.partition("-")
        if what not in FLAGS or not seed.isdecimal():
            raise UsageError(f"--cells must be among {'|'.join(FLAGS)}-SEED. Received: {cell}")
    for cell in missing_cells(flags.cells, lambda cell: f"recalibration-{cell}", flags.short):
        result = run_cell(cell, flags.short)
        if flags.short:
            print(json.dumps(result, indent=2))
        else:
            save(f"recalibration-{cell}", result)
        print(
            f"{cell:10} false alarms {result['false_alarms_before']} before, "
            f"{result['false_alarms']} now, expected {result['low']} to {result['high']} "
            f"of {result['remaining_images']}; AUROC {result['auroc']['after']:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
