"""Real defects: 2,223 pictures of solar cells (ELPV), few of them labelled.

    pip install elpv-dataset                                   once: 91 MB, CC BY-NC-SA 4.0
    python -m benchmarks.real_defects                          all cells (about three hours)
    python -m benchmarks.real_defects --cells ten-0 none-0     some cells
    python -m benchmarks.real_defects --methods ours           ours alone

Protocol of Pang et al. 2021 (DevNet), Ding et al. 2022 (DRA) and Zhu et al. 2024 (AHL): pictures of
defect probability 0 are normal, those of 1 anomalous, the others are left out. Normal pictures are
split 3:1 into training and test. Cells are SETTING-SPLIT:

ten, one, none   10, 1 or 0 anomalies are labelled; the test holds all anomalies but ten
mono, poly       10 of this kind are labelled; the test holds the other kind alone (hard setting)

Ours is `train.py --data DIR --split SPLIT`, first with `--epochs 1 --steps-per-epoch 20`: where the
generator has no part in the score, its training decides neither scores nor AUROC. Where it has one,
the run is repeated without these flags. `--full` leaves them out at once, for honest minutes. A
tenth of the normal training pictures is the validation part. Each finished cell is kept at once as
benchmarks/results/elpv/CELL-METHOD.json; a second call goes on with those that are missing. Splits
0, 1 and 2 are reported; constants were chosen on splits 10, 11 and 12.
"""

import argparse
import dataclasses
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from benchmarks.commands import run_command
from benchmarks.results_file import missing_cells, save
from ganad_tf.atomic_files import read_json
from ganad_tf.baselines.classical import nearest_neighbours, pixels
from ganad_tf.data.account import SplitEntry
from ganad_tf.data.folder.split_file import write_split
from ganad_tf.errors import DataError, run_cli
from ganad_tf.run_folder import DETECTOR, METRICS
from ganad_tf.settings.names import TRAINED_COMPONENTS

LABELS = {"ten": 10, "one": 1, "none": 0, "mono": 10, "poly": 10}
KINDS = ("mono", "poly")
SPLITS = (0, 1, 2)  # that are reported; settings were chosen on others
SETTINGS = tuple(LABELS)
# Enough for a generator that has no part in the score.
BRIEF = ["--epochs", "1", "--steps-per-epoch", "20"]
# Anomalies that are never in the test of the general setting, however few of them are labelled.
HELD_BACK = 10
TEST_SHARE, VALIDATION_SHARE = 0.25, 0.1
# Of decoded pictures, which splits share.
CACHE = Path(tempfile.gettempdir()) / "ganad_tf-benchmarks"
KEPT = ("auroc", "auroc_by_kind", "recall", "false_alarm_rate", "n_normal", "n_anomaly")
KEPT += ("expected_false_alarm_rate", "scorer", "training_seconds", "peak_memory_mb")


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The pictures in use.

    Args:
        folder: where they lie.
        names: [N], relative to it.
        kinds: str [N], `mono` or `poly`.
        is_anomaly: bool [N].
    """

    folder: Path
    names: np.ndarray
    kinds: np.ndarray
    is_anomaly: np.ndarray


@dataclasses.dataclass(frozen=True)
class Parts:
    """Indices of the images in each part, int [n]; `labelled` anomalies are learnt from."""

    train: np.ndarray
    validation: np.ndarray
    labelled: np.ndarray
    test: np.ndarray


def find_pictures() -> Pictures:
    """The pictures of the installed package `elpv-dataset`; its code is not run.

    Raises:
        DataError: if it is not installed.
    """
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "expected the package elpv-dataset (pip install elpv-dataset). Received: no such module"
        )
    folder = Path(spec.submodule_search_locations[0]) / "data"
    with open(folder / "labels.csv", newline="", encoding="utf-8") as file:
        rows = [line.replace(",", " ").split() for line in file]
    rows = [row for row in rows if len(row) == 3 and row[1].replace(".", "", 1).isdigit()]
    rows = [row for row in rows if float(row[1]) in (0.0, 1.0)]
    names, probabilities, kinds = zip(*rows, strict=True)
    return Pictures(folder, np.array(names), np.array(kinds), np.float64(probabilities) == 1)


def draw(pictures: Pictures, setting: str, seed: int) -> Parts:
    """Splits the pictures for one cell."""
    kind = setting if setting in KINDS else None
    return draw_labels(pictures, LABELS[setting], seed, kind=kind)


def draw_labels(
    pictures: Pictures, labels: int, seed: int, held_back: int = HELD_BACK, kind: str | None = None
) -> Parts:
    """Splits the pictures.

    Args:
        pictures: all of them.
        labels: how many anomalies are labelled.
        seed: of the draw.
        held_back: anomalies that are not in the test, the labelled ones among them.
        kind: of the labelled ones; all anomalies of the other kind are in the test then.
    """
    rng = np.random.default_rng(seed)
    normal = rng.permutation(np.flatnonzero(~pictures.is_anomaly))
    anomalous = rng.permutation(np.flatnonzero(pictures.is_anomaly))
    n_test = round(TEST_SHARE * len(normal))
    test, rest = normal[:n_test], normal[n_test:]
    n_validation = round(VALIDATION_SHARE * len(rest))
    if kind is None:
        labelled, tested = anomalous[:labels], anomalous[held_back:]
    else:
        of_kind = pictures.kinds[anomalous] == kind
        labelled, tested = anomalous[of_kind][:labels], anomalous[~of_kind]
    return Parts(rest[n_validation:], rest[:n_validation], labelled, np.concatenate([test, tested]))


def write_folder(pictures: Pictures, parts: Parts, output: Path) -> None:
    """Writes `normal/`, `anomaly/KIND/` and `split.csv`; the pictures are links."""
    entries = []
    for part in ("train", "validation", "labelled", "test"):
        for index in getattr(parts, part):
            kind = str(pictures.kinds[index]) if pictures.is_anomaly[index] else "normal"
            place = f"anomaly/{kind}" if pictures.is_anomaly[index] else "normal"
            path = f"{place}/{Path(pictures.names[index]).name}"
            (output / path).parent.mkdir(parents=True, exist_ok=True)
            os.symlink(pictures.folder / pictures.names[index], output / path)
            is_anomaly = bool(pictures.is_anomaly[index])
            name = "train" if part == "labelled" else part
            entries.append(SplitEntry(path, kind, is_anomaly, name))
    write_split(entries, output / "split.csv")


def ours(pictures: Pictures, parts: Parts, full: bool) -> dict:
    """Our default, its generator trained in full only where the score needs it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_folder(pictures, parts, folder / "cells")
        flags, seconds = train(folder, CACHE, [] if full else BRIEF)
        metrics = read_json(folder / "run" / METRICS)
        components = components_of(folder / "run")
    return {
        **{name: metrics[name] for name in KEPT},
        "components": components,
        "flags": flags,
        "seconds": seconds,
    }


def train(folder: Path, cache: Path, flags: list[str]) -> tuple[list[str], float]:
    """Trains on `folder/cells` into `folder/run` as a user would, in a process of its own.

    After a brief training whose generator has a part in the score, it trains once more, in full.

    Args:
        folder: with what `write_folder` wrote to `folder/cells`.
        cache: where decoded pictures are kept.
        flags: of `train.py`, besides those that name the pictures.

    Returns:
        The flags of the last training, and its seconds.
    """
    data = ["--data", folder / "cells", "--split", folder / "cells" / "split.csv"]
    began = time.monotonic()
    run_command(cache, "train.py", "--output", folder / "run", "--overwrite", *data, *flags)
    seconds = time.monotonic() - began
    if flags == BRIEF and not components_of(folder / "run").keys().isdisjoint(TRAINED_COMPONENTS):
        return train(folder, cache, [])
    return flags, seconds


def components_of(run: Path) -> dict[str, float]:
    """Name -> weight of the parts of a run's score."""
    components = read_json(run / DETECTOR / "scorer.json")["components"]
    return {component["name"]: component["weight"] for component in components}


def baseline(
    features_of: Callable[[Pictures], np.ndarray],
    score: Callable[[np.ndarray, Parts], np.ndarray],
) -> Callable[..., dict]:
    """A method that scores the test from one row of features per picture."""

    def run(pictures: Pictures, parts: Parts, full: bool) -> dict:
        began = time.monotonic()
        scores = score(features_of(pictures), parts)
        is_anomaly = pictures.is_anomaly[parts.test]
        auroc = float(roc_auc_score(is_anomaly, scores))
        return {"auroc": auroc, "seconds": time.monotonic() - began}

    return run


class Cached:
    """Computes features of all pictures once in a process."""

    def __init__(self, compute: Callable[[Pictures], np.ndarray]):
        self._compute, self._value = compute, None

    def __call__(self, pictures: Pictures) -> np.ndarray:
        if self._value is None:
            self._value = self._compute(pictures)
        return self._value


def read_pixels(pictures: Pictures, side: int) -> np.ndarray:
    """uint8 [N, side, side, 1]."""
    images = np.empty((len(pictures.names), side, side, 1), np.uint8)
    for number, name in enumerate(pictures.names):
        with Image.open(pictures.folder / name) as image:
            small = image.convert("L").resize((side, side), Image.Resampling.BILINEAR)
        images[number, ..., 0] = np.asarray(small)
    return images


def encoder_means(pictures: Pictures) -> np.ndarray:
    """Mean frozen features of strides 8 to 32 at 224 pixels, float32 [N, D]."""
    from ganad_tf.baselines.neighbours import LEVELS
    from ganad_tf.networks import load_efficientnet_lite0
    from ganad_tf.preprocessing import to_encoder
    from ganad_tf.scoring.encoder_features import mean_features
    from ganad_tf.scoring.map_batches import map_batches

    encoder = load_efficientnet_lite0()

    def means(images):
        maps = encoder.feature_maps(to_encoder(images, 224))
        return {"means": mean_features(maps, LEVELS)}

    images = read_pixels(pictures, 224)
    return map_batches(means, images, np.arange(len(images)), 32)["means"]


def neighbours(features: np.ndarray, parts: Parts) -> np.ndarray:
    """Mean distance to the three nearest normal training pictures; labels are ignored."""
    normal = np.concatenate([parts.train, parts.validation])
    return nearest_neighbours(features[normal], features[parts.test], 0)


def scaled_neighbours(features: np.ndarray, parts: Parts) -> np.ndarray:
    """The same with every feature in units of its deviation over normal pictures."""
    normal = np.concatenate([parts.train, parts.validation])
    return neighbours(StandardScaler().fit(features[normal]).transform(features), parts)


def logistic(features: np.ndarray, parts: Parts) -> np.ndarray:
    """Logistic regression of the labelled pictures against the normal ones."""
    normal = np.concatenate([parts.train, parts.validation])
    rows = np.concatenate([normal, parts.labelled])
    scaler = StandardScaler().fit(features[normal])
    machine = LogisticRegression(class_weight="balanced", C=0.1, max_iter=2000)
    machine.fit(scaler.transform(features[rows]), np.arange(len(rows)) >= len(normal))
    return machine.decision_function(scaler.transform(features[parts.test]))


def fine_tuned(pictures: Pictures, parts: Parts, full: bool) -> dict:
    """The same encoder, all of it trained on the labelled pictures against the normal ones."""
    from benchmarks.fine_tuned import fine_tuned_scores

    began = time.monotonic()
    normal = np.concatenate([parts.train, parts.validation])
    scores = fine_tuned_scores(_LARGE(pictures), normal, parts.labelled, parts.test, 0)
    auroc = float(roc_auc_score(pictures.is_anomaly[parts.test], scores))
    return {"auroc": auroc, "seconds": time.monotonic() - began}


_LARGE = Cached(lambda pictures: read_pixels(pictures, 224))
_PIXELS = Cached(lambda pictures: pixels(read_pixels(pictures, 64)))
_ENCODER = Cached(encoder_means)
METHODS: dict[str, Callable[..., dict]] = {
    "ours": ours,
    "pixel-neighbours": baseline(_PIXELS, neighbours),
    "feature-neighbours": baseline(_ENCODER, scaled_neighbours),
    "logistic": baseline(_ENCODER, logistic),
    "fine-tuned": fine_tuned,
}
NEEDS_LABELS = ("logistic", "fine-tuned")


def main() -> None:
    cells = [f"{setting}-{split}" for split in SPLITS for setting in SETTINGS]
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--cells", nargs="+", default=cells, metavar="SETTING-SPLIT")
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), default=tuple(METHODS))
    parser.add_argument("--full", action="store_true", help="train every generator in full")
    flags = parser.parse_args()
    pictures = find_pictures()
    jobs = []
    for cell in flags.cells:
        setting, _, split = cell.partition("-")
        if setting not in SETTINGS or not split.isdecimal():
            parser.error(f"argument --cells: expected {'|'.join(SETTINGS)}-SPLIT. Received: {cell}")
        jobs += [
            (setting, int(split), method)
            for method in flags.methods
            if LABELS[setting] or method not in NEEDS_LABELS
        ]
    for setting, split, method in missing_cells(jobs, lambda job: _name(*job)):
        parts = draw(pictures, setting, split)
        result = METHODS[method](pictures, parts, flags.full)
        where = {"setting": setting, "split": split, "method": method}
        save(_name(setting, split, method), {**where, **result})
        print(f"{setting}-{split} {method:20} AUROC {result['auroc']:.4f}", flush=True)


def _name(setting: str, split: int, method: str) -> str:
    return f"elpv/{setting}-{split}-{method}"


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
