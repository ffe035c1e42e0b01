"""Our default on every category of a published data set that you own.

    python -m benchmarks.mvtec MVTEC                       MVTec AD, LOCO, VisA, BTAD, MPDD, ...
    python -m benchmarks.mvtec MVTEC --labelled 10         10 test anomalies are learnt from
    python -m benchmarks.mvtec MVTEC --categories bottle screw

A category is a folder in a layout that `train.py --data` knows: MVTEC itself, or a folder in it.
Each is trained by `train.py --data` with its defaults. With `--labelled K`, K anomalies are drawn
from the test part, evenly over their kinds, and are left out of the test. Each finished category is
kept at once as benchmarks/results/mvtec/NAME-CATEGORY-K.json; a second call goes on with those that
are missing. These data sets are not part of this project; their licences differ.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.commands import run_command
from benchmarks.results_file import RESULTS, save
from ganad_tf.atomic_files import read_json
from ganad_tf.data.account import SplitEntry
from ganad_tf.data.folder.layouts import list_folder
from ganad_tf.data.folder.load import load_folder
from ganad_tf.data.folder.options import FolderOptions
from ganad_tf.data.folder.split_file import write_split
from ganad_tf.errors import DataError, UsageError, run_cli
from ganad_tf.run_folder import METRICS, PLAN

# How deep categories are looked for.
DEPTH = 2
KEPT = ("auroc", "pixel_auroc", "aupro", "recall", "false_alarm_rate", "n_normal", "n_anomaly")
KEPT += ("auroc_by_kind", "scorer", "training_seconds", "peak_memory_mb")


def find_categories(folder: Path) -> list[Path]:
    """The folders in a known layout: `folder` itself, or those in it.

    Raises:
        DataError: if there is none.
    """
    if not folder.is_dir():
        raise DataError(f"expected a folder of categories. Received: {folder}")
    found = _categories(folder, DEPTH)
    if not found:
        raise DataError(
            f"expected a data set in a layout that `train.py --data` knows, at most {DEPTH} "
            f"folders deep. Received: {folder}"
        )
    return found


def _categories(folder: Path, depth: int) -> list[Path]:
    try:
        if any(image.is_anomaly for image in list_folder(folder).images):
            return [folder]
    except DataError:
        pass
    inner = sorted(path for path in folder.iterdir() if path.is_dir()) if depth else []
    return [category for path in inner for category in _categories(path, depth - 1)]


def draw_labelled(entries: Sequence[SplitEntry], count: int, seed: int) -> list[SplitEntry]:
    """The same entries with some anomalies of the test part in the training part.

    Args:
        entries: of a data set whose anomalies are in the test part.
        count: how many are drawn; the kinds take turns.
        seed: of the draw.

    Raises:
        UsageError: if no anomaly would be left to test with.
    """
    rng = np.random.default_rng(seed)
    anomalies = [i for i, e in enumerate(entries) if e.is_anomaly and e.part == "test"]
    if count >= len(anomalies):
        raise UsageError(
            f"--labelled must leave anomalies to test with, so it must be below {len(anomalies)}. "
            f"Received: {count}"
        )
    turns: dict[str, int] = {}
    order = []
    for index in rng.permutation(anomalies):
        kind = entries[index].kind
        turns[kind] = turns.get(kind, 0) + 1
        order.append((turns[kind], len(order), index))
    chosen = {index for _, _, index in sorted(order)[:count]}
    return [
        SplitEntry(e.path, e.kind, e.is_anomaly, "train" if i in chosen else e.part)
        for i, e in enumerate(entries)
    ]


def run_category(category: Path, labelled: int, flags: Sequence[str] = ()) -> dict:
    """Trains on one category in a process of its own; returns what is kept."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command: list[object] = ["train.py", "--data", category, "--output", folder / "run"]
        if labelled:
            account = load_folder(category, FolderOptions(), folder / "cache").folder
            assert account is not None
            write_split(draw_labelled(account.entries, labelled, 0), folder / "split.csv")
            command += ["--split", folder / "split.csv"]
        else:
            command += ["--protocol", "none"]  # some layouts have anomalies in the training part
        run_command(folder / "cache", *command, *flags)
        metrics = read_json(folder / "run" / METRICS)
        plan = read_json(folder / "run" / PLAN)
    kept = {name: metrics[name] for name in KEPT}
    kept |= {name: plan[name] for name in ("n_labelled", "n_masked")}
    baselines = {name: other["auroc"] for name, other in metrics["baselines"].items()}
    return {**kept, "baselines": baselines}


def table(results: Mapping[str, dict]) -> str:
    """One row for each category, and the means.

    Args:
        results: category -> what `run_category` returned.
    """
    baselines = list(dict.fromkeys(n for r in results.values() for n in r["baselines"]))
    header = ["category", "image AUROC", "pixel AUROC", "AUPRO", *baselines, "training"]
    rows = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    columns = []
    for name, result in results.items():
        values = [result[key] for key in ("auroc", "pixel_auroc", "aupro")]
        values += [result["baselines"].get(baseline) for baseline in baselines]
        columns.append(values)
        rows.append(_row(name, values, result["training_seconds"]))
    means = []
    for column in zip(*columns, strict=True):
        known = [value for value in column if value is not None]
        means.append(float(np.mean(known)) if known else None)
    seconds = float(np.mean([result["training_seconds"] for result in results.values()]))
    return "\n".join([*rows, _row("**mean**", means, seconds)])


def _row(name: str, values: Sequence[float | None], seconds: float) -> str:
    texts = ["" if value is None else f"{value:.4f}" for value in values]
    return f"| {name} | {' | '.join(texts)} | {seconds / 60:.1f} min |"


def _name(category: Path, folder: Path) -> str:
    """What tells a category from the others: its place in the folder."""
    return "-".join(category.relative_to(folder).parts) or category.name


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--labelled", type=int, default=0, metavar="K")
    parser.add_argument("--categories", nargs="+", metavar="NAME", help="some categories alone")
    parser.add_argument("--short", action="store_true", help="only see that everything runs")
    flags = parser.parse_args()
    if flags.labelled < 0:
        parser.error(f"argument --labelled: expected at least 0. Received: {flags.labelled}")
    folder = flags.folder.resolve()
    categories = {_name(path, folder): path for path in find_categories(folder)}
    unknown = set(flags.categories or ()) - categories.keys()
    if unknown:
        parser.error(
            f"argument --categories: expected names among {', '.join(categories)}. "
            f"Received: {', '.join(sorted(unknown))}"
        )
    short = ["--epochs", "1", "--steps-per-epoch", "2", "--encoder", "none"] if flags.short else []
    results = {}
    wanted = flags.categories or list(categories)
    began, ran = time.monotonic(), 0
    for number, name in enumerate(wanted, 1):
        kept = RESULTS / "mvtec" / f"{folder.name}-{name}-{flags.labelled}.json"
        if flags.short or not kept.exists():
            results[name] = run_category(categories[name], flags.labelled, short)
            ran += 1
            if not flags.short:
                save(f"mvtec/{kept.stem}", {"category": name, **results[name]})
        else:
            results[name] = read_json(kept)
        left = (time.monotonic() - began) / max(ran, 1) * (len(wanted) - number)
        auroc = results[name]["auroc"]
        print(f"{name:20} AUROC {auroc:.4f}  at most {left / 60:.0f} min left", flush=True)
    print(table(results))


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
