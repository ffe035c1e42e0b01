"""Tables of all pairs of a normal and a labelled class, for docs/fashion_mnist.md."""

from collections.abc import Callable

import numpy as np

from benchmarks.published import ALL_PAIRS
from benchmarks.quality import (
    EPOCHS,
    METHODS,
    PAIR_EPOCHS,
    TUNED_ON,
    UNLABELLED,
    UNSEEN_SHARES,
    next_class,
)
from benchmarks.results_file import all_kept

N_PAIRS = 90
# (normal class, labelled class) -> AUROC.
Pairs = dict[tuple[int, int], float]


def pairs_section(by_class: Callable[[str, str], dict[int, float]]) -> list[str]:
    """The paragraphs on all pairs; empty if none was run.

    Args:
        by_class: from a protocol and a method to the AUROC of each normal class, with the next
            class as the labelled one and full training.
    """
    kept = {
        (protocol, method): pairs
        for protocol in UNSEEN_SHARES
        for method in METHODS
        if (pairs := _pairs(protocol, method))
    }
    if not kept:
        return []
    means = [line for protocol in UNSEEN_SHARES for line in _means(protocol, kept, by_class)]
    parts = [
        "## All pairs of a normal and a labelled class",
        f"Means over pairs, as published figures are given, after {PAIR_EPOCHS} epochs instead of "
        f"{EPOCHS['unseen']}. Where not all {N_PAIRS} pairs were run, each normal class has "
        "nearly the same number of them. The last but one column compares methods on the same "
        "pairs. Methods that ignore labels count once for each normal class.",
        "\n".join([_HEAD, *means]),
    ]
    costs = [line for key, pairs in kept.items() for line in _shortened(*key, pairs, by_class)]
    if costs:
        parts += [
            "What the shorter training costs, on the pairs that were run with both, which are "
            "those with the next class as the labelled one. Where a mean is lower after it, so is "
            "the method's mean over all pairs, by about as much:",
            "\n".join([_HEAD_SHORTENED, *costs]),
        ]
    return parts


_HEAD = (
    "| labelled | method | pairs | mean | deviation over pairs "
    f"| mean without normal classes {', '.join(map(str, TUNED_ON))} "
    "| mean on the pairs of all methods | published, over 90 pairs |\n"
    "|---|---|---|---|---|---|---|---|"
)
_HEAD_SHORTENED = (
    f"| labelled | method | pairs | {PAIR_EPOCHS} epochs | {EPOCHS['unseen']} epochs "
    "| largest change of a pair |\n|---|---|---|---|---|---|"
)


def mean_of_all_pairs(
    protocol: str, method: str, by_class: Callable[[str, str], dict[int, float]]
) -> float | None:
    """A method's mean over all pairs; None unless all of them were run.

    Args:
        protocol: one of `UNSEEN_SHARES`.
        method: if it ignores labels, its mean over the normal classes.
        by_class: see `pairs_section`.
    """
    ignores_labels = method in UNLABELLED
    found = by_class("none", method) if ignores_labels else _pairs(protocol, method)
    if len(found) < (10 if ignores_labels else N_PAIRS):
        return None
    return float(np.mean(list(found.values())))


def _means(
    protocol: str,
    kept: dict[tuple[str, str], Pairs],
    by_class: Callable[[str, str], dict[int, float]],
) -> list[str]:
    """A line for each method with pairs, then for each that needs no labels."""
    of_method = {method: pairs for (of, method), pairs in kept.items() if of == protocol}
    if not of_method:
        return []
    common = set.intersection(*map(set, of_method.values()))
    for method in UNLABELLED:
        unlabelled = by_class("none", method)
        if len(unlabelled) == 10 and method != "random":
            of_method[method] = {
                (normal, known): auroc
                for normal, auroc in unlabelled.items()
                for known in range(10)
                if known != normal
            }
    lines = []
    for method, pairs in of_method.items():
        values = list(pairs.values())
        spread = f"{np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
        untouched = [auroc for (normal, _), auroc in pairs.items() if normal not in TUNED_ON]
        rest = f"{np.mean(untouched):.4f}" if untouched else ""
        same = f"{np.mean([pairs[pair] for pair in common]):.4f} ({len(common)})" if common else ""
        which = "labels ignored" if method in UNLABELLED else f"{len(pairs)} of {N_PAIRS}"
        published = "" if method in UNLABELLED else ALL_PAIRS[protocol]
        lines.append(
            f"| {UNSEEN_SHARES[protocol]:.0%} | {method} | {which} | {np.mean(values):.4f} "
            f"| {spread} | {rest} | {same} | {published} |"
        )
    return lines


def _shortened(
    protocol: str, method: str, pairs: Pairs, by_class: Callable[[str, str], dict[int, float]]
) -> list[str]:
    """The line that compares short with full training; none where no pair was run with both."""
    full = by_class(protocol, method)
    both = {
        normal: (short, full[normal])
        for (normal, known), short in pairs.items()
        if known == next_class(normal) and normal in full
    }
    if not both:
        return []
    shorts, longs = np.array(list(both.values())).T
    change = np.abs(shorts - longs)
    worst = list(both)[int(change.argmax())]
    return [
        f"| {UNSEEN_SHARES[protocol]:.0%} | {method} | {len(both)} | {shorts.mean():.4f} "
        f"| {longs.mean():.4f} | {change.max():.4f} (class {worst}) |"
    ]


def _pairs(protocol: str, method: str) -> Pairs:
    """The kept pairs, of seed 0."""
    cells = all_kept(f"pairs/{protocol}-?-?-{method}-seed0")
    return {(cell["normal"], cell["pair"]): cell["auroc"] for cell in cells}
