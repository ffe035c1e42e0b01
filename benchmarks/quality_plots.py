"""Plots of docs/fashion_mnist.md: each method has one colour and one mark on all of them."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from benchmarks.quality import HEAD, IMAGENET, METHODS
from ganad_tf.data.fashion_mnist.classes import CLASSES

# At 0.5, random scores would hide the differences of the others.
SHOWN = tuple(method for method in METHODS if method != "random")
# Ours are filled circles, the others hollow.
OURS = ("ganad", HEAD, IMAGENET)
MARKS = dict(zip(SHOWN, "svD^<Phooo", strict=True))
COLOURS = {method: f"C{number}" for number, method in enumerate(SHOWN)} | {"ganad": "black"}
WIDTH = 0.7  # of a class's column, over which the methods are spread


def plot(by_method: Mapping[str, Mapping[int, float]], title: str) -> Figure:
    """One mark for each method beside the others, over the normal classes.

    Args:
        by_method: method -> normal class -> AUROC.
        title: of the plot.
    """
    methods = [method for method in SHOWN if by_method.get(method)]
    classes = sorted({number for method in methods for number in by_method[method]})
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    for method, offset in zip(methods, _offsets(len(methods)), strict=True):
        places = [classes.index(number) + offset for number in by_method[method]]
        axes.plot(
            *(places, list(by_method[method].values()), MARKS[method]),
            color=COLOURS[method],
            fillstyle="full" if method in OURS else "none",
            label=method,
        )
    axes.set_xticks(range(len(classes)), [f"{n} {CLASSES[n]}" for n in classes], rotation=30)
    axes.set(xlabel="normal class", ylabel="test AUROC", title=title)
    axes.set_xticks([place + 0.5 for place in range(len(classes) - 1)], minor=True)
    axes.tick_params(which="minor", length=0)
    axes.grid(axis="y", alpha=0.3)
    axes.grid(axis="x", which="minor", alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def _offsets(count: int) -> Sequence[float]:
    """Places in a class's column, around its middle."""
    return [WIDTH * ((place + 0.5) / count - 0.5) for place in range(count)]
