"""Our scoring and training step beside PyTorch on the same networks, in one run.

    pip install torch
    python -m benchmarks.peers                                measures all and keeps it
    python -m benchmarks.peers --output new.json
    python -m benchmarks.peers compare benchmarks/results/peers.json new.json

Scoring: `export/runtime.py` on the float32 and the int8 model, beside PyTorch eager and
`torch.compile`. The PyTorch network has our weights and computes the same score from every
component; a cell fails unless scores and reconstructions agree to 1e-4. It makes no probability, no
anomaly map, no mask and no uint8 reconstruction, which can only make it faster. Maps are in
channels_last. Weights and fitted arrays are random numbers, which changes no speed. In the int8
models everything is in int8 that can be; an export keeps operators in float32 where accuracy needs
it.

Training: the full step with all losses, beside the same step in PyTorch eager with a fused Adam.
Both get the same images, without augmentation, synthetic anomalies and masks. The losses of the
first step must agree to 0.1 %. Ours keeps the running means of the losses, too.

All sides have as many threads as the process has cores, and take turns. The machine must be quiet:
PyTorch's threads wait for each other after every layer, so other work slows it more than ours.
Ratios are taken round by round; 2 means that ours is twice as fast. Their medians and quartiles are
kept cell by cell in benchmarks/results/peers.json. `compare` says which ratios moved beyond noise,
and its exit code is 1 if one became worse.
"""

import argparse
import importlib.util
import itertools
import json
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.peers.cells import TRAIN, Cell, chosen_cells
from benchmarks.peers.compare import compare, other_machine
from benchmarks.peers.timing import Effort
from benchmarks.results_file import RESULTS, described, revision
from export.runtime import available_cores
from ganad_tf.atomic_files import read_json, write_json
from ganad_tf.errors import ArtefactError, UsageError, run_cli

KEPT = RESULTS / "peers.json"
# One of scoring and one of training: they are made in seconds.
SHORT_CELLS = ["score-none-32-grey-1", "train-none-32-grey"]
SHORT = Effort(rounds=2, seconds=0.0, pause=0.0)


def measure_all(
    cells: list[Cell], effort: Effort, threads: int, keep: Callable[[Cell, dict[str, Any]], None]
) -> None:
    """Measures cells; those of one detector must follow each other, as it is made for all of them.

    Args:
        cells: in this order.
        effort: for each.
        threads: of every side.
        keep: takes each cell and its figures as they come.
    """
    import tensorflow as tf
    import torch

    from benchmarks.peers import measure

    torch.set_num_threads(threads)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    for _, group in itertools.groupby(cells, lambda cell: cell.model):
        first, *others = group
        if first.kind == TRAIN:
            keep(first, measure.measure_training(first, threads, effort))
            continue
        with measure.made_sides(first, threads) as sides:
            for cell in (first, *others):
                keep(cell, measure.measure_scoring(cell, sides, effort))


def show(cell: Cell, figures: dict[str, Any]) -> None:
    """Prints one line for each ratio of a cell."""
    for name, ratio in figures["ratios"].items():
        print(
            f"{cell.name:36} {name:26} {ratio['median']:5.2f}  "
            f"({ratio['low']:.2f} to {ratio['high']:.2f})",
            flush=True,
        )
    if "share_of_gemm" in figures:
        share = figures["share_of_gemm"]["median"]
        print(f"{cell.name:36} share of the matrix-product rate {share:.0%}", flush=True)
    for name, reason in figures["not_measured"].items():
        print(f"{cell.name:36} {name} not measured: {reason}", flush=True)


def run_cells(flags: argparse.Namespace) -> None:
    """Measures what the flags ask for and keeps it."""
    if importlib.util.find_spec("torch") is None:
        raise UsageError(
            "this benchmark needs PyTorch: pip install torch. Received: no package torch"
        )
    if flags.rounds < 1:
        raise UsageError(f"--rounds must be at least 1. Received: {flags.rounds}")
    if flags.short:
        cells = chosen_cells(flags.cells or SHORT_CELLS)
        measure_all(cells, SHORT, available_cores(), _show_all)
        print("nothing is kept")
        return
    cells, threads, kept = chosen_cells(flags.cells), available_cores(), {}
    if flags.output.exists() and (flags.resume or flags.cells):
        kept = _read(flags.output)["cells"]
    if flags.resume:
        cells = [cell for cell in cells if cell.name not in kept]
    load = os.getloadavg()[0]
    if load > threads / 2:
        print(f"warning: these ratios need a quiet machine, and its load is {load:.1f}")
    about = {
        "threads": threads,
        "rounds": flags.rounds,
        "load_average": load,
        "torch": version("torch"),
        "onnxruntime": version("onnxruntime"),
    }
    began, code = time.monotonic(), revision()

    def keep(cell: Cell, figures: dict[str, Any]) -> None:
        show(cell, figures)
        kept[cell.name] = {**figures, "revision": code}
        write_json(flags.output, described({**about, "cells": kept}))

    measure_all(cells, Effort(flags.rounds), threads, keep)
    seconds = time.monotonic() - began
    print(f"{len(cells)} cells in {seconds / 60:.1f} min, kept in {flags.output}")


def _show_all(cell: Cell, figures: dict[str, Any]) -> None:
    show(cell, figures)
    print(json.dumps({cell.name: figures}, indent=2))


def run_comparison(flags: argparse.Namespace) -> int:
    """Says which ratios moved; 1 if one became worse."""
    kept, new = _read(flags.kept), _read(flags.new)
    machines = other_machine(kept, new)
    if machines:
        print(f"measured on different machines: {machines}")
    changes, alone = compare(kept, new)
    for change in changes:
        if change.moved:
            print(change)
    for name in alone:
        print(f"in one file only: {name}")
    moved = [change for change in changes if change.moved]
    worse = sum(change.is_worse for change in changes)
    print(
        f"{len(changes)} ratios compared, {len(moved)} moved beyond noise, {worse} of them "
        "became worse"
    )
    return 1 if worse else 0


def _read(path: Path) -> dict[str, Any]:
    values = read_json(path)
    if not isinstance(values, dict) or "cells" not in values:
        raise ArtefactError(
            f"{path}: expected a file of `python -m benchmarks.peers`. Received: no `cells` in it"
        )
    return values


def main() -> int | None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--cells", nargs="+", metavar="CELL", help="measure these alone; patterns as score-none-*"
    )
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side (default: 7)")
    parser.add_argument("--resume", action="store_true", help="keep the cells that the file has")
    parser.add_argument("--short", action="store_true", help="try two small cells; keep nothing")
    parser.add_argument(
        "--output",
        type=Path,
        default=KEPT,
        metavar="FILE",
        help="where to keep the figures (default: benchmarks/results/peers.json)",
    )
    parser.set_defaults(run=run_cells)
    commands = parser.add_subparsers(metavar="compare KEPT NEW")
    comparing = commands.add_parser("compare", help="say which ratios moved beyond noise")
    comparing.add_argument("kept", type=Path, metavar="KEPT")
    comparing.add_argument("new", type=Path, metavar="NEW")
    comparing.set_defaults(run=run_comparison)
    flags = parser.parse_args()
    return flags.run(flags)


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
