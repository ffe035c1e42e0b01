"""Training on folders of images: quality on textures, and whether false-alarm rates are kept.

    python -m benchmarks.own_images                              all cells (about two hours)
    python -m benchmarks.own_images --cells texture-brick-20 alarms-0
    python -m benchmarks.own_images --short                      one short epoch each, nothing kept

fashion-class, fashion-folder   sneakers by `--normal 7`, and the same images as PNG files
texture-NAME-20m, -20, -0       SYNTHETIC defects on textures at 128x128: 20 labelled with masks
                                that say where, 20 labelled without, none labelled
class-NUMBER                    a class of Fashion-MNIST as PNG files, no label, default settings
alarms-SEED                     sneakers in folders, split anew: is the false-alarm rate kept, and
                                the promised share of normal images with a marked pixel?

Each finished cell is kept at once as benchmarks/results/own/CELL.json; a second call goes on with
those that are missing.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.commands import run_command
from benchmarks.results_file import RESULTS, missing_cells, save
from benchmarks.texture_data import TEXTURES, write_texture
from ganad_tf.atomic_files import read_json
from ganad_tf.data.account import SplitEntry
from ganad_tf.data.folder.split_file import write_split
from ganad_tf.data.load import Source, load_splits
from ganad_tf.data.splits import Splits
from ganad_tf.errors import UsageError, run_cli
from ganad_tf.evaluation.false_alarms import CONFIDENCE, expected_alarms, expected_rate
from ganad_tf.run_folder import METRICS
from ganad_tf.settings.run_config import RunConfig

CLASS = "7"
LABELLED = ("20m", "20", "0")
SEEDS = range(10)
CLASSES = ("0", "5", "6", "7")
# Makes a folder the same experiment as a class: all anomalies labelled, none synthetic.
SAME_AS_CLASS = ("--channels", "1", "--synthetic", "0", "--clusters", "9", "--batch-size", "128")
SAME_AS_CLASS += ("--epochs", "30", "--average-momentum", "0.998", "--encoder", "none")
# The promised rate must hold for any model, even after a short training.
ALARM_RATE, ALARM_NORMALS, ALARM_ANOMALIES = 0.05, 2000, 400
ALARM_FLAGS = ("--epochs", "2", "--steps-per-epoch", "50", "--encoder", "none")
SHORT = ("--epochs", "1", "--steps-per-epoch", "2", "--batch-size", "16")
KEPT = (
    *("auroc", "auroc_by_kind", "pixel_auroc", "aupro", "pixel_f1", "false_alarm_rate", "recall"),
    *("n_normal", "expected_false_alarm_rate", "marked_normal_rate", "pixel_threshold", "scorer"),
    *("clusters", "best_epoch", "training_seconds"),
    *("peak_memory_mb", "baselines"),
)

CELLS = (
    *("fashion-class", "fashion-folder"),
    *(f"texture-{texture}-{count}" for texture in TEXTURES for count in LABELLED),
    *(f"class-{number}" for number in CLASSES),
    *(f"alarms-{seed}" for seed in SEEDS),
)


def run_cell(cell: str, source: Source, short: bool = False) -> dict:
    """Runs one cell; returns what is kept of it."""
    what, *rest = cell.split("-")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if what == "texture":
            texture, count = rest
            masks = count.endswith("m")
            labelled = int(count.removesuffix("m"))
            write_texture(folder / "data", texture, 128, labelled, mask_labelled=masks)
            flags = ["--data", folder / "data", "--split", folder / "data" / "split.csv"]
        elif what == "class":
            unlabelled = load_splits(RunConfig(normal=rest[0], protocol="none"), source)
            write_as_folder(folder / "data", unlabelled)
            flags = ["--data", folder / "data", "--split", folder / "data" / "split.csv"]
        elif what == "alarms":
            write_sneakers(folder / "data", int(rest[0]), source)
            flags = ["--data", folder / "data", "--seed", rest[0], *ALARM_FLAGS]
            flags += ["--max-false-alarms", ALARM_RATE]
        elif rest == ["class"]:
            flags = ["--normal", CLASS, *_source_flags(source)]
        else:
            write_as_folder(folder / "data", _load(source))
            flags = ["--data", folder / "data", "--split", folder / "data" / "split.csv"]
            flags += [*SAME_AS_CLASS, "--score", _score_of_class(short)]
        flags = [str(flag) for flag in (*flags, *(SHORT if short else ()))]
        kept = _train(folder, flags)
        if what == "alarms":
            scorer = read_json(folder / "run" / "detector" / "scorer.json")
            alarms = scorer["normal_scores"], scorer["threshold"], kept["false_alarm_rate"]
            marks = scorer["normal_peaks"], scorer["pixel_threshold"], kept["marked_normal_rate"]
            kept["alarms"] = judge(kept["n_normal"], *alarms)
            kept["marks"] = judge(kept["n_normal"], *marks)
    return {"cell": cell, "flags": [f.replace(name, "DIR") for f in flags], **kept}


def _train(folder: Path, flags: list[str]) -> dict:
    """Runs train.py as a user would, in a process of its own."""
    output = folder / "run"
    command = ["train.py", "--preset", "small", "--output", output, *flags]
    run_command(folder / "cache", *command)
    metrics = read_json(output / METRICS)
    return {name: metrics[name] for name in KEPT if name in metrics}


def _score_of_class(short: bool) -> str:
    """The score that `fashion-class` chose; on folders, `auto` expects kinds without labels."""
    if short:
        return "auto"
    path = RESULTS / "own" / "fashion-class.json"
    if not path.exists():
        raise UsageError(f"fashion-folder needs {path}; run the cell fashion-class first")
    return read_json(path)["scorer"]["score"]


def _source_flags(source: Source) -> list:
    flags = ["--data-dir", source.data_dir] if source.data_dir else []
    return flags + (["--idx-dir", source.idx_dir] if source.idx_dir else [])


def _load(source: Source):
    return load_splits(RunConfig(normal=CLASS), source)


def write_as_folder(output: Path, splits: Splits) -> None:
    """Writes Fashion-MNIST as PNG files with `split.csv`: the same parts as a run on it has.

    Images are padded to 32x32 here, as they are inside the networks there.

    Args:
        output: the new folder.
        splits: of that run.
    """
    entries = []
    for part in ("train", "validation", "test"):
        images = getattr(splits, part)
        rows = zip(images.images, images.kinds, images.is_anomaly, strict=True)
        for number, (image, kind, is_anomaly) in enumerate(rows):
            name = images.kind_names[kind].replace("/", "-")
            path = f"anomaly/{name}" if is_anomaly else "normal"
            path = f"{path}/{part}-{number:05}.png"
            save_padded(image, output / path)
            entries.append(
                SplitEntry(path, name if is_anomaly else "normal", bool(is_anomaly), part)
            )
    write_split(entries, output / "split.csv")


def write_sneakers(output: Path, seed: int, source: Source) -> None:
    """Writes a random part of the sneakers and of the rest; train.py then splits it at random.

    A promised rate holds if validation and test images are exchangeable, as after a random draw.
    Texture tiles are not: the regions of a picture differ a little.
    """
    train = _load(source).train
    rng = np.random.default_rng(seed)
    for folder, label, count in (
        ("normal", False, ALARM_NORMALS),
        ("anomaly", True, ALARM_ANOMALIES),
    ):
        pool = np.flatnonzero(train.is_anomaly == label)
        for index in rng.choice(pool, count, replace=False):
            save_padded(train.images[index], output / folder / f"{index:05}.png")


def save_padded(image: np.ndarray, path: Path) -> None:
    """Writes an image [28, 28, 1] as a PNG file of 32x32."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.pad(image[..., 0], 2)).save(path, compress_level=1)


def judge(images: int, fitted_on: Sequence[float], threshold: float, rate: float) -> dict:
    """Compares the observed false alarms with those to be expected from validation images.

    Or the normal test images that have a marked pixel: an image has one if its largest map value
    is above the pixel threshold.

    Args:
        images: normal test images.
        fitted_on: scores of normal validation images, or their largest map values.
        threshold: that was fitted on them.
        rate: the observed share of normal test images above it.

    Returns:
        `observed`, `mean`, `low` and `high` as rates. `inside`: whether the observed number lies in
        the interval, which it does with the probability `confidence`.
    """
    low, high = expected_alarms(fitted_on, threshold, images)
    alarms = round(rate * images)
    return {
        "promised": ALARM_RATE,
        "validation_images": len(fitted_on),
        "test_images": images,
        "observed": alarms / images,
        "mean": expected_rate(fitted_on, threshold)["mean"],
        "low": low / images,
        "high": high / images,
        "confidence": CONFIDENCE,
        "inside": low <= alarms <= high,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS, metavar="CELL")
    parser.add_argument("--short", action="store_true", help="only see that everything runs")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--idx-dir", type=Path)
    flags = parser.parse_args()
    cells = [cell for cell in CELLS if cell in flags.cells]
    missing = missing_cells(cells, lambda cell: f"own/{cell}", flags.short)
    began = time.monotonic()
    for number, cell in enumerate(missing, 1):
        result = run_cell(cell, Source(flags.data_dir, flags.idx_dir), flags.short)
        if flags.short:
            print(json.dumps(result, indent=2))
        else:
            save(f"own/{cell}", result)
        left = (time.monotonic() - began) / number * (len(missing) - number)
        print(f"{cell:20} AUROC {result['auroc']:.4f}  {left / 60:.0f} min left", flush=True)


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
