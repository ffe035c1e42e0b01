"""Writes docs/fashion_mnist.md, tables and plots, from the kept cells of benchmarks.quality.

python -m benchmarks.quality_tables
"""

import argparse
import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.pair_tables import pairs_section
from benchmarks.published import FASHION_MNIST
from benchmarks.quality import (
    ABLATION_EPOCHS,
    ABLATIONS,
    EPOCHS,
    IMAGENET,
    METHODS,
    MIXTURES,
    PROTOCOLS,
    TUNED_ON,
    UNLABELLED,
)
from benchmarks.quality_plots import SHOWN, plot
from benchmarks.results_file import RESULTS, all_kept, kept
from ganad_tf.atomic_files import replace_file
from ganad_tf.errors import DataError, run_cli

LEARNT = tuple(method for method in METHODS if method not in UNLABELLED)
PAGE = Path(__file__).parents[1] / "docs" / "fashion_mnist.md"
PLOTS = Path(__file__).parent / "plots"
LABELLED = {
    "seen": "all nine anomaly classes",
    "unseen": "one anomaly class, the next one, 5 % of the training set",
    "unseen1": "one anomaly class, the next one, 1 % of the training set",
    "none": "no anomaly",
    "few600": "600 anomalies of all nine classes",
    "few60": "60 anomalies of all nine classes",
}
# Protocol -> one more class whose test AUROC led to a rule there.
LED_TO_A_RULE = {"seen": 1, "none": 5}
INTRODUCTION = f"""\
Test AUROC on the official 10,000 test images, by `python -m benchmarks.quality`. This page is
written by `python -m benchmarks.quality_tables`. Seed 0 unless stated otherwise. Empty cells were
not run.

Methods, all with the same split and seed, trained ones with the same number of images:

- `ganad` is ours at preset `small`.
- `ganad-imagenet` is ours at preset `imagenet`. It joins features of a network that was trained on
  ImageNet; no other method here has them.
- `ganad-head` is ours with `--loss-weight feature_abc=30`, ten times the default weight on the
  loss of the generator's head. It was only run under `seen`. The weight was chosen on classes 0
  and 6 with seed 1.
- `cnn` is a supervised classifier with the generator's encoder as its trunk.
- `abc` is the generator trained with reconstruction and ABC loss alone.
- `autoencoder` learns to reconstruct normal images only.
- {", ".join(f"`{method}`" for method in UNLABELLED)} ignore labels and were run once for all
  protocols.

What was chosen by test AUROC, so that these figures are optimistic:

- on classes {", ".join(map(str, TUNED_ON))}: which scores are joined, and how much is synthetic
  where one kind is labelled;
- on class {LED_TO_A_RULE["seen"]} under `seen`, at first 0.9980: a near tie on validation, which
  chance had decided, has a rule now;
- on class {LED_TO_A_RULE["none"]} under `none` with ImageNet weights, at first 0.9438: the
  generator's part is left out where pixels miss a destroyed layout on validation images.

Second lines of the first table leave these classes out. Bold is the best of those without ImageNet
weights."""
# (protocol, method) -> normal class -> seed -> what is kept of the cell.
Cells = dict[tuple[str, str], dict[int, dict[int, dict]]]


def load_cells() -> Cells:
    """Reads every kept cell.

    Raises:
        DataError: if there is none.
    """
    cells: Cells = defaultdict(lambda: defaultdict(dict))
    for cell in all_kept("quality/*"):
        cells[cell["protocol"], cell["method"]][cell["normal"]][cell["seed"]] = cell
    if not cells:
        raise DataError(f"{RESULTS / 'quality'}: expected kept cells. Received: none")
    return cells


def aurocs(cells: Cells, protocol: str, method: str) -> dict[int, float]:
    """Normal class -> AUROC of seed 0; methods that ignore labels stand for every protocol."""
    by_class = cells.get(("none" if method in UNLABELLED else protocol, method), {})
    return {number: seeds[0]["auroc"] for number, seeds in sorted(by_class.items()) if 0 in seeds}


def mean_auroc(cells: Cells, protocol: str, method: str, classes: Iterable[int]) -> float | None:
    """The mean over `classes`, None unless all of them were run."""
    by_class = aurocs(cells, protocol, method)
    values = [by_class.get(number) for number in classes]
    return None if None in values else float(np.mean(values))


def table(cells: Cells, protocol: str, methods: Iterable[str], classes: Sequence[int]) -> str:
    """AUROC by method and normal class; the mean only where all of the classes are there.

    Args:
        cells: all of them.
        protocol: whose cells are shown.
        methods: one line each, if it was run; a mapping gives the names to show.
        classes: one column each.
    """
    names = methods if isinstance(methods, Mapping) else {}
    rows = [
        "| method | " + " | ".join(map(str, classes)) + " | mean |",
        "|---|" + "---|" * (len(classes) + 1),
    ]
    for method in methods:
        by_class = aurocs(cells, protocol, method)
        if by_class:
            values = [*map(by_class.get, classes), mean_auroc(cells, protocol, method, classes)]
            name = names.get(method, method)
            rows.append(f"| {name} | {' | '.join(map(_show, values))} |")
    return "\n".join(rows)


def summary_table(cells: Cells) -> str:
    """The means of ours and of what it must beat, for each protocol: over all classes that were
    run, and over those on which nothing was tuned."""
    rows = [
        "| protocol | labelled in training | normal classes | ganad_tf | with ImageNet weights "
        "| supervised CNN | 3 nearest neighbours | published, without ImageNet weights |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for protocol in PROTOCOLS:
        classes = tuple(aurocs(cells, protocol, "ganad"))
        touched = {*TUNED_ON, LED_TO_A_RULE.get(protocol)}
        untouched = tuple(number for number in classes if number not in touched)
        # Two lines that say the same are one; what was not run has none.
        for chosen in filter(None, dict.fromkeys((classes, untouched))):
            published = FASHION_MNIST.get(protocol, "") if chosen == classes else ""
            which = "all ten" if len(chosen) == 10 else ", ".join(map(str, chosen))
            rows.append(
                f"| `{protocol}` | {LABELLED[protocol]} | {which} "
                f"| {' | '.join(_compared(cells, protocol, chosen))} | {published} |"
            )
    return "\n".join(rows)


def _compared(cells: Cells, protocol: str, classes: Sequence[int]) -> list[str]:
    """Means of ours without and with ImageNet weights, the CNN and neighbours.

    The best without ImageNet weights is in bold if the others were run, too.
    """
    methods = ("ganad", IMAGENET, "cnn", "knn")
    means = {method: mean_auroc(cells, protocol, method, classes) for method in methods}
    # A classifier has nothing to learn from where no anomaly is labelled.
    needed = ("ganad", "knn") if protocol == "none" else ("ganad", "cnn", "knn")
    compared = [means[method] for method in needed]
    best = None if None in compared else needed[int(np.argmax(compared))]
    return [f"**{_show(m)}**" if method == best else _show(m) for method, m in means.items()]


def spread_table(cells: Cells) -> str:
    """Mean and standard deviation where several seeds were run; empty if nowhere."""
    rows = []
    for (protocol, method), by_class in sorted(cells.items()):
        for number, seeds in sorted(by_class.items()):
            if len(seeds) > 1:
                values = [seed["auroc"] for seed in seeds.values()]
                rows.append(
                    f"| {protocol} | {method} | {number} | {len(values)} "
                    f"| {np.mean(values):.4f} ± {np.std(values, ddof=1):.4f} |"
                )
    head = ["| protocol | method | class | seeds | AUROC |", "|---|---|---|---|---|"]
    return "\n".join(head + rows) if rows else ""


def time_table(cells: Cells) -> str:
    """How long ours took for one class: training, and all from start to report."""
    rows = [
        "| protocol | epochs | training, median | longest | with scoring and report, median |",
        "|---|---|---|---|---|",
    ]
    for protocol in PROTOCOLS:
        found = [seeds[0] for seeds in cells.get((protocol, "ganad"), {}).values() if 0 in seeds]
        if found:
            training = [cell["training_seconds"] / 60 for cell in found]
            whole = np.median([cell["seconds"] / 60 for cell in found])
            rows.append(
                f"| {protocol} | {found[0]['config']['epochs']} "
                f"| {np.median(training):.1f} min | {max(training):.1f} min | {whole:.1f} min |"
            )
    return "\n".join(rows)


def _same_training(cells: Cells) -> str:
    """A sentence on the training that the README's run repeats, beside other work."""
    run, cell = kept("train-seen-sneaker-seed0"), cells.get(("seen", "ganad"), {}).get(7, {}).get(0)
    if run is None or cell is None:
        return ""
    return (
        f" Training on class 7 under `seen` took {cell['training_seconds'] / 60:.1f} min here; the "
        f"README's run of it took {run['training_seconds'] / 60:.1f} min beside other work."
    )


def _show(auroc: float | None) -> str:
    return "" if auroc is None else f"{auroc:.4f}"


def write() -> None:
    """Writes the page and its pictures."""
    cells = load_cells()
    parts = [
        "# Quality on Fashion-MNIST",
        INTRODUCTION,
        summary_table(cells),
        *_protocol_sections(cells),
        *pairs_section(functools.partial(aurocs, cells)),
        *_spread_section(cells),
        "## Time on this machine",
        "Other work was running beside some of the cells, so these are upper bounds."
        f"{_same_training(cells)}",
        time_table(cells),
        *_mixture_sections(cells),
        *_ablation_section(cells),
    ]
    with replace_file(PAGE) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _protocol_sections(cells: Cells) -> list[str]:
    parts = []
    for protocol in PROTOCOLS:
        classes = _classes_of(cells, protocol, LEARNT)
        if classes:
            PLOTS.mkdir(exist_ok=True)
            with replace_file(PLOTS / f"{protocol}.png") as temporary:
                by_method = {
                    method: {
                        number: auroc
                        for number, auroc in aurocs(cells, protocol, method).items()
                        if number in classes
                    }
                    for method in SHOWN
                }
                title = f"{protocol}: labelled is {LABELLED[protocol]}"
                plot(by_method, title).savefig(temporary, dpi=110, format="png")
            parts += [
                f"## `{protocol}`: labelled is {LABELLED[protocol]}",
                table(cells, protocol, METHODS, classes),
                f"![AUROC of each method under protocol {protocol}]"
                f"(../benchmarks/plots/{protocol}.png)",
            ]
    return parts


def _spread_section(cells: Cells) -> list[str]:
    spread = spread_table(cells)
    return ["## Spread over seeds", spread] if spread else []


def _mixture_sections(cells: Cells) -> list[str]:
    parts = []
    for protocol in ("none", "unseen", "few600", "few60"):
        classes = _classes_of(cells, protocol, tuple(MIXTURES))
        if classes:
            flags = {name: f"`{' '.join(flags)}`" for name, flags in MIXTURES.items()}
            parts += [f"### `{protocol}`", table(cells, protocol, flags, classes)]
    if parts:
        introduction = (
            "Ours with the flags in the first column. The best became the defaults"
            f"{_not_the_best(cells)}. The mixtures compare with one another: `ganad` above is of a "
            "later revision, with pixels in its score."
        )
        parts = ["## Mixtures of synthetic anomalies", introduction, *parts]
    return parts


def _not_the_best(cells: Cells) -> str:
    """Where the default is not the best mixture: few labels of every kind have none."""
    both = [aurocs(cells, "few600", method).get(6) for method in ("mix-half", "mix-known")]
    if None in both or both[0] <= both[1]:
        return ""
    return (
        f", but under `few600`: half synthetic anomalies had {both[0]:.4f} on class 6, none had "
        f"{both[1]:.4f}, and the default is none, as under `few60`"
    )


def _ablation_section(cells: Cells) -> list[str]:
    classes = _classes_of(cells, "seen", ABLATIONS)
    if not classes:
        return []
    first, *others = ABLATIONS
    losses = {first: "all losses"}
    losses |= {name: f"without `{name.removeprefix('without-')}`" for name in others}
    return [
        "## Ablation of the losses",
        f"Protocol `seen`, each loss left out in turn, all after {ABLATION_EPOCHS} epochs instead "
        f"of {EPOCHS['seen']}. `local_abc` is not listed: it acts on own images only.",
        table(cells, "seen", losses, classes),
    ]


def _classes_of(cells: Cells, protocol: str, methods: Sequence[str]) -> list[int]:
    """The normal classes for which any of the methods was run."""
    return sorted({number for method in methods for number in aurocs(cells, protocol, method)})


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    write()


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
