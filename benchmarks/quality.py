"""How well each method finds anomalies, under four protocols, on Fashion-MNIST.

    python -m benchmarks.quality --protocols none --classes 0 6 7 --methods knn ganad
    python -m benchmarks.quality --protocols seen --classes 0 6 7 --methods without-patch
    python -m benchmarks.quality --protocols none unseen --classes 0 6 7 --methods mix-blot mix-half
    python -m benchmarks.quality --protocols unseen --pairs all --methods ganad cnn
    python -m benchmarks.quality                        all but ablation and mixtures (many hours)

Under `unseen` the labelled class is the one after the normal one; with `--pairs all` each of the
nine others in turn, after fewer epochs. `unseen1` has 1 % of labelled anomalies instead of 5 %.

`ganad-imagenet` is ours at preset `imagenet`, `ganad-head` (under `seen`) ours with ten times the
weight on the head's loss, `abc` the generator with reconstruction and ABC loss alone,
`without-LOSS` ours with that loss left out (after a third of the training, beside
`without-nothing`), `mix-...` ours with another mixture of synthetic anomalies.

Each finished cell is kept at once as benchmarks/results/quality/CELL.json; a second call goes on
with those that are missing. Tables and plots: python -m benchmarks.quality_tables.
"""

import argparse
import dataclasses
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.commands import run_command
from benchmarks.results_file import missing_cells, save
from ganad_tf.atomic_files import read_json
from ganad_tf.baselines.autoencoder import autoencoder_errors
from ganad_tf.baselines.classical import CLASSICAL, pixels
from ganad_tf.baselines.classifier import classifier_scores
from ganad_tf.data.load import Source, load_splits
from ganad_tf.errors import UsageError, run_cli
from ganad_tf.run_folder import CONFIG, METRICS
from ganad_tf.settings.loss_weights import LossWeights
from ganad_tf.settings.run_config import RunConfig

# Epochs of 12,800 images: `seen` learns from many anomalies and takes longest.
EPOCHS = {"seen": 30, "few": 15, "unseen": 10, "none": 10}
# Of all pairs of a normal and a labelled class. docs/fashion_mnist.md compares ten with `EPOCHS`.
PAIR_EPOCHS = 4
FEW = (600, 60)
# Deep SAD's shares of labelled anomalies.
UNSEEN_SHARES = {"unseen": 0.05, "unseen1": 0.01}
PROTOCOLS = ("seen", *UNSEEN_SHARES, "none", *(f"few{count}" for count in FEW))
# Some defaults were chosen by the test AUROC of these classes.
TUNED_ON = (0, 6, 7)
# These ignore labelled anomalies, and the normal images are the same under every protocol.
UNLABELLED = ("random", *CLASSICAL)
IMAGENET = "ganad-imagenet"
# Ours with more weight on the loss of the generator's head, where every kind is labelled.
HEAD = "ganad-head"
METHODS = (*UNLABELLED, "autoencoder", "cnn", "abc", "ganad", HEAD, IMAGENET)
LOSSES = tuple(field.name for field in dataclasses.fields(LossWeights))
# Enough to tell which losses matter, at a third of the cost.
ABLATION_EPOCHS = 10
ABLATIONS = ("without-nothing", *(f"without-{name}" for name in LOSSES if name != "local_abc"))
# Mixtures of synthetic anomalies: which kinds, or which share beside the labelled ones. Results are
# kept under these names, of which two are older than the names of the kinds.
MIXTURES = {
    "mix-three": ["--synthetic-kinds", "rotate,shuffle,paste"],  # the default of `none`
    "mix-turn": ["--synthetic-kinds", "rotate"],
    "mix-paste": ["--synthetic-kinds", "paste"],
    "mix-blot": ["--synthetic-kinds", "local_defect"],
    "mix-all": ["--synthetic-kinds", "rotate,shuffle,paste,local_defect"],
    "mix-known": ["--synthetic", "0"],
    "mix-half": ["--synthetic", "0.5"],
    "mix-most": ["--synthetic", "0.9"],  # the default of `unseen`
}
ABC_LOSSES = ("normal_reconstruction", "abc")


def next_class(normal: int, step: int = 1) -> int:
    """The class that comes so many after another one."""
    return (normal + step) % 10


@dataclasses.dataclass(frozen=True)
class Cell:
    """One experiment.

    Args:
        protocol: one of `PROTOCOLS`.
        normal: the normal class.
        method: ours, a variant of it or a baseline.
        seed: of the split and the training.
        pair: the labelled class of one of all pairs, after `PAIR_EPOCHS`; None for the next class
            under `unseen`, after `EPOCHS`, and for other protocols.
    """

    protocol: str
    normal: int
    method: str
    seed: int
    pair: int | None = None

    @property
    def name(self) -> str:
        """Of the kept result, below the folder of results."""
        if self.pair is not None:
            return f"pairs/{self.protocol}-{self.normal}-{self.pair}-{self.method}-seed{self.seed}"
        return f"quality/{self.protocol}-{self.normal}-{self.method}-seed{self.seed}"

    @property
    def known(self) -> int | None:
        """The labelled anomaly class under `unseen`, else None."""
        if self.protocol not in UNSEEN_SHARES:
            return None
        return next_class(self.normal) if self.pair is None else self.pair

    @property
    def epochs(self) -> int:
        if self.method in ABLATIONS:
            return ABLATION_EPOCHS
        return EPOCHS[self.kind] if self.pair is None else PAIR_EPOCHS

    @property
    def kind(self) -> str:
        """The protocol as train.py names it."""
        return self.protocol.rstrip("0123456789")

    def config(self) -> RunConfig:
        """The settings of preset `small` for this cell."""
        flags = {
            "normal": str(self.normal),
            "protocol": self.kind,
            "epochs": self.epochs,
            "seed": self.seed,
        }
        if self.kind == "few":
            flags["anomalies"] = int(self.protocol.removeprefix("few"))
        if self.known is not None:
            flags["known"] = str(self.known)
            flags["known_share"] = UNSEEN_SHARES[self.protocol]
        return RunConfig(**flags)

    def possible(self) -> bool:
        """Whether there is such an experiment.

        A classifier needs labelled anomalies, and so does a share of synthetic ones beside them.
        The head's weight was only tried where every kind is labelled. Methods that ignore labels
        run once, under `none`, for all protocols.
        """
        if self.method == HEAD and self.protocol != "seen":
            return False
        needs_labels = self.method == "cnn" or "--synthetic" in MIXTURES.get(self.method, ())
        if self.protocol == "none":
            return not needs_labels
        return self.method not in UNLABELLED


def all_pairs(cells: list[Cell]) -> list[Cell]:
    """The cells of each class that may be labelled; a cell of another protocol stays as it is.

    The next class of every normal one comes first, then the one after it, and so on, so that a
    benchmark that is stopped early has seen all normal classes.
    """
    others = [cell for cell in cells if cell.protocol not in UNSEEN_SHARES]
    return others + [
        dataclasses.replace(cell, pair=next_class(cell.normal, step))
        for step in range(1, 10)
        for cell in cells
        if cell.protocol in UNSEEN_SHARES
    ]


def run_cell(cell: Cell, source: Source) -> dict:
    """Runs one cell; returns its AUROC and what it took."""
    config = cell.config()
    began = time.monotonic()
    if cell.method in ("ganad", "abc", HEAD, IMAGENET, *ABLATIONS, *MIXTURES):
        measured = _run_ganad(config, source, _changes(cell.method))
    else:
        splits = load_splits(config, source)
        scores = _baseline(cell, config, splits)
        measured = {"auroc": float(roc_auc_score(splits.test.is_anomaly, scores))}
    return {
        **dataclasses.asdict(cell),
        "known": cell.known,
        "config": config.to_dict(),
        **measured,
        "seconds": time.monotonic() - began,
    }


def _baseline(cell: Cell, config: RunConfig, splits) -> np.ndarray:
    if cell.method == "random":
        return np.random.default_rng(cell.seed).random(len(splits.test))
    if cell.method == "autoencoder":
        return autoencoder_errors(config, splits)[1]
    if cell.method == "cnn":
        return classifier_scores(config, splits)[1]
    normal = pixels(splits.train.images[~splits.train.is_anomaly])
    return CLASSICAL[cell.method](normal, pixels(splits.test.images), cell.seed)


def _changes(method: str) -> list[str]:
    """The flags that make a variant of our method."""
    if method == IMAGENET:
        return ["--preset", "imagenet"]
    if method == HEAD:
        return ["--loss-weight", "feature_abc=30"]
    if method in MIXTURES:
        return MIXTURES[method]
    if method == "abc":
        left_out = [name for name in LOSSES if name not in ABC_LOSSES]
        flags = ["--score", "reconstruction"]
    else:
        left_out = [name for name in LOSSES if method == f"without-{name}"]
        flags = []
    return [*flags, *(part for name in left_out for part in ("--loss-weight", f"{name}=0"))]


def _run_ganad(config: RunConfig, source: Source, extra: list[str]) -> dict:
    """Runs train.py as a user would, in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        flags = ["--normal", config.normal, "--protocol", config.protocol, "--preset", "small"]
        flags += ["--epochs", config.epochs, "--seed", config.seed]
        flags += ["--anomalies", config.anomalies] if config.protocol == "few" else []
        if config.known:
            flags += ["--known", config.known, "--known-share", config.known_share]
        flags += ["--data-dir", source.data_dir] if source.data_dir else []
        flags += ["--idx-dir", source.idx_dir] if source.idx_dir else []
        flags += extra
        folder = Path(name) / "run"
        run_command(Path(name) / "cache", "train.py", "--output", folder, *flags)
        metrics, used = read_json(folder / METRICS), read_json(folder / CONFIG)
    kept = ("auroc", "auroc_by_kind", "scorer", "training_seconds", "fingerprint")
    return {**{name: metrics[name] for name in kept}, "config": used}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=PROTOCOLS)
    parser.add_argument("--classes", nargs="+", type=int, default=range(10))
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=(*METHODS, *ABLATIONS, *MIXTURES),
        default=METHODS,
        metavar="METHOD",
        help=f"any of {', '.join((*METHODS, *ABLATIONS, *MIXTURES))}",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument(
        "--pairs",
        choices=("next", "all"),
        default="next",
        help="which class is labelled under unseen: the next one, or each of the nine others "
        f"after {PAIR_EPOCHS} epochs (default: next)",
    )
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--idx-dir", type=Path)
    flags = parser.parse_args()
    if not set(flags.classes) <= set(range(10)):
        raise UsageError(f"--classes must be from 0 to 9. Received: {flags.classes}")
    product = itertools.product(flags.protocols, flags.classes, flags.methods, flags.seeds)
    cells = [cell for cell in itertools.starmap(Cell, product) if cell.possible()]
    if flags.pairs == "all":
        cells = all_pairs(cells)
    missing = missing_cells(cells, lambda cell: cell.name)
    began = time.monotonic()
    for number, cell in enumerate(missing, 1):
        result = run_cell(cell, Source(flags.data_dir, flags.idx_dir))
        save(cell.name, result)
        left = (time.monotonic() - began) / number * (len(missing) - number)
        print(f"{cell.name:40} AUROC {result['auroc']:.4f}  {left / 60:.0f} min left", flush=True)


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
