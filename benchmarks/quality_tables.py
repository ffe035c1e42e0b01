"""Writes benchmarks/README.md, tables and plots, from the kept cells of benchmarks.quality.

python -m benchmarks.quality_tables
"""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.quality import ABLATIONS, METHODS, PROTOCOLS
from benchmarks.results_file import RESULTS
from ganad_tf.artefacts import replace_file
from ganad_tf.errors import DataError, run_cli

README = Path(__file__).parent / "README.md"
PLOTS = Path(__file__).parent / "plots"
MEANINGS = {
    "seen": "all nine anomaly classes are labelled",
    "unseen": "anomalies of one class, the next one, are labelled, 5 % of the training set",
    "none": "no anomaly is labelled",
    "few600": "600 anomalies of all nine classes are labelled",
    "few60": "60 anomalies of all nine classes are labelled",
}
# (protocol, method) -> normal class -> AUROC of each seed.
Cells = dict[tuple[str, str], dict[int, list[float]]]


def load_cells() -> Cells:
    """Reads every kept cell.

    Raises:
        DataError: if there is none.
    """
    cells: Cells = defaultdict(lambda: defaultdict(list))
    for path in sorted((RESULTS / "quality").glob("*.json")):
        cell = json.loads(path.read_text())
        cells[cell["protocol"], cell["method"]][cell["normal"]].append(cell["auroc"])
    if not cells:
        raise DataError(f"{RESULTS / 'quality'}: expected kept cells. Received: none")
    return cells


def table(cells: Cells, protocol: str) -> str:
    """AUROC by method and normal class; the mean only where all ten classes are there."""
    methods = [m for m in (*METHODS, *ABLATIONS) if (protocol, m) in cells]
    rows = [
        "| method | " + " | ".join(map(str, range(10))) + " | mean |",
        "|---|" + "---|" * 11,
    ]
    for method in methods:
        by_class = cells[protocol, method]
        values = [_show(by_class.get(number, [])) for number in range(10)]
        mean = np.mean([np.mean(by_class[n]) for n in by_class]) if len(by_class) == 10 else None
        rows.append(
            f"| {method} | {' | '.join(values)} | {'' if mean is None else f'{mean:.4f}'} |"
        )
    return "\n".join(rows)


def _show(aurocs: list[float]) -> str:
    if not aurocs:
        return ""
    spread = f" ± {np.std(aurocs):.4f}" if len(aurocs) > 1 else ""
    return f"{np.mean(aurocs):.4f}{spread}"


def plot(cells: Cells, protocol: str) -> Figure:
    """One mark for each method over the normal classes."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for method in METHODS:
        by_class = cells.get((protocol, method), {})
        if method != "random" and by_class:
            numbers = sorted(by_class)
            values = [np.mean(by_class[number]) for number in numbers]
            axes.plot(numbers, values, "o" if method == "ganad" else "_", label=method, ms=8, mew=2)
    axes.set(xlabel="normal class", ylabel="test AUROC", xticks=range(10), title=protocol)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def write() -> None:
    """Writes the page and its pictures."""
    cells = load_cells()
    parts = [
        "# Quality on Fashion-MNIST",
        "Test AUROC on the official 10,000 test images, by `python -m benchmarks.quality`; this "
        "page is written by `python -m benchmarks.quality_tables`. An empty place was not run. "
        "`ganad` is ours at preset `small`; the other methods use the same split and seed, trained "
        "ones the same number of images. `cnn` is a supervised classifier.",
    ]
    for protocol in PROTOCOLS:
        if any(kept == protocol for kept, _ in cells):
            PLOTS.mkdir(exist_ok=True)
            with replace_file(PLOTS / f"{protocol}.png") as temporary:
                plot(cells, protocol).savefig(temporary, dpi=110, format="png")
            parts += [
                f"## `{protocol}`: {MEANINGS[protocol]}",
                table(cells, protocol),
                f"![AUROC of each method under protocol {protocol}](plots/{protocol}.png)",
            ]
    with replace_file(README) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(run_cli(write))
