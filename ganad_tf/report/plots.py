"""Charts of scores and training. Every function returns a matplotlib `Figure` of its own.

No pyplot: its registry of open figures is global state that a library must not touch.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike
from sklearn.metrics import roc_auc_score, roc_curve

# Okabe and Ito's colours, which colour-blind readers can tell apart as well.
NORMAL_COLOUR = "#0072B2"
ANOMALY_COLOUR = "#D55E00"
INK = "#24292f"
MUTED = "#6e7781"
_LINE_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#6e7781")
_LINE_STYLES = ("-", "--", "-.", ":")


def roc_curves(models: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """ROC curves of all models: the whole curve, and the part with few false alarms.

    Args:
        models: name -> (is_anomaly [N], scores [N]); the first is drawn most prominently.
    """
    figure = _figure(9.5, 4.4)
    whole, corner = figure.subplots(1, 2, sharey=True)
    whole.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
    # The first model is drawn last, so that no baseline covers it.
    for i, (name, (is_anomaly, scores)) in reversed(list(enumerate(models.items()))):
        fpr, tpr, _ = roc_curve(is_anomaly, scores)
        label = f"{roc_auc_score(is_anomaly, scores):.4f}  {plain(name)}"
        for axes in (whole, corner):
            axes.plot(
                fpr,
                tpr,
                label=label,
                color=_LINE_COLOURS[i % len(_LINE_COLOURS)],
                linestyle=_LINE_STYLES[i % len(_LINE_STYLES)],
                linewidth=1.5 if i else 2.5,
            )
    style_axes(whole, title="All thresholds", xlabel="false alarms (share of normal images)")
    style_axes(corner, title="Few false alarms", xlabel="false alarms (share of normal images)")
    whole.set(xlim=(-0.01, 1), ylim=(0, 1.01), ylabel="anomalies found")
    corner.set_xlim(-0.001, 0.1)
    for axis in (whole.xaxis, whole.yaxis, corner.xaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    handles, labels = whole.get_legend_handles_labels()
    whole.legend(
        handles[::-1],
        labels[::-1],
        title="AUROC",
        loc="lower right",
        edgecolor="none",
        framealpha=0.9,
        fontsize=9,
        title_fontsize=9,
        alignment="left",
    )
    return figure


def score_histogram(scores: ArrayLike, is_anomaly: ArrayLike, threshold: float) -> Figure:
    """Histogram of normal and anomalous scores, with the threshold.

    Each group is drawn as shares of itself, so that a small group stays visible. The highest 3 % of
    all scores are collected in the last bar; otherwise a few outliers would flatten the rest.

    Args:
        scores: anomaly scores [N].
        is_anomaly: the truth [N].
        threshold: scores above it are called anomalies.
    """
    scores, is_anomaly = np.asarray(scores, float), np.asarray(is_anomaly).astype(bool)
    low = min(scores.min(), threshold)
    high = max(np.quantile(scores, 0.97), threshold)
    width = (high - low) / 75 or 1.0
    # The threshold is one of the edges, so that no bar lies on both sides of it.
    steps = np.arange(np.floor((low - threshold) / width), (high - threshold) // width + 2)
    edges = (threshold + width * steps).tolist()
    is_cut = scores.max() > edges[-1]

    figure = _figure(9.5, 3.6)
    axes = figure.subplots()
    for name, chosen, colour in (
        ("normal", ~is_anomaly, NORMAL_COLOUR),
        ("anomalous", is_anomaly, ANOMALY_COLOUR),
    ):
        group = scores[chosen]
        if not len(group):
            continue
        axes.hist(
            np.clip(group, edges[0], edges[-1]),  # the first edge may be rounded up
            bins=edges,
            weights=np.full(len(group), 1 / len(group)),
            color=colour,
            alpha=0.62,
            label=f"{name}: {np.mean(group > threshold):.1%} of {len(group):,} above the threshold",
        )
    axes.axvline(threshold, color=INK, linewidth=1.5, label=f"threshold {threshold:.4g}")
    axes.legend(loc="upper right", frameon=False, fontsize=9)
    style_axes(
        axes,
        xlabel="anomaly score" + (" (the last bar holds all higher ones)" if is_cut else ""),
        ylabel="share of each group",
    )
    axes.grid(visible=False, axis="x")
    axes.set_xlim(edges[0], edges[-1])
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def confusion_matrices(confusions: Mapping[str, Mapping[str, int]]) -> Figure:
    """What each model decided about normal and anomalous images, one matrix a model.

    Args:
        confusions: model name -> {tn, fp, fn, tp}, as `evaluate` returns it.
    """
    columns = min(4, len(confusions))
    rows = math.ceil(len(confusions) / columns)
    figure = _figure(2.4 * columns + 0.9, 2.75 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(confusions) :]:
        axes.set_axis_off()
    for i, (axes, (name, cells)) in enumerate(zip(grid.flat, confusions.items(), strict=False)):
        _draw_confusion(axes, cells)
        axes.set_title(
            fill(short(name, 48), 24), fontsize=10, color=INK, weight="bold" if i == 0 else None
        )
        if i % columns == 0:
            axes.set_ylabel("truth", fontsize=9, color=MUTED)
    return figure


def training_curves(
    history: Sequence[Mapping[str, float]],
    groups: Mapping[str, Mapping[str, str]],
    best_epoch: int | None = None,
) -> Figure:
    """Small multiples: one panel a quantity, one colour a group (a network, the validation).

    Args:
        history: one mapping an epoch, from names to values; `epoch` gives its number (default:
            counted from 1). A value that is missing or not finite leaves a gap.
        groups: heading -> {name in `history`: label}, in the order to draw, e.g.
            `{"Generator": {"abc_loss": "ABC"}, "Validation": {"val_auroc": "AUROC"}}`.
        best_epoch: the epoch whose weights were kept; marked in every panel.
    """
    epochs = [row.get("epoch", i) for i, row in enumerate(history, start=1)]
    panels = [
        (colour, f"{heading}: {label}", [row.get(name) for row in history])
        for colour, (heading, names) in zip(cycle(_LINE_COLOURS), groups.items(), strict=False)
        for name, label in names.items()
    ]
    rows = math.ceil(len(panels) / 3)
    figure = _figure(9.5, 1.75 * rows + 0.3)
    grid = figure.subplots(rows, 3, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (colour, title, values) in zip(grid.flat, panels, strict=False):
        curve = np.array(values, float)
        curve[~np.isfinite(curve)] = math.nan
        marker = "o" if len(epochs) < 16 else None
        axes.plot(epochs, curve, color=colour, linewidth=1.8, marker=marker, markersize=3)
        if best_epoch is not None:
            axes.axvline(best_epoch, color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
        style_axes(axes)
        axes.set_title(short(title, 42), fontsize=9.5, color=INK, loc="left")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
    figure.supxlabel(
        "epoch" if best_epoch is None else f"epoch (dotted line: epoch {best_epoch}, kept as best)",
        fontsize=9,
        color=MUTED,
    )
    return figure


def kind_aurocs(auroc_by_kind: Mapping[str, float], overall: float) -> Figure:
    """AUROC of every kind of anomaly against all normal images, hardest first.

    Dots instead of bars, because the axis must be cut to show differences near 1, and cut bars
    mislead.

    Args:
        auroc_by_kind: kind -> AUROC in [0, 1].
        overall: AUROC over all anomalies; kinds below it are drawn in orange.
    """
    ordered = sorted(auroc_by_kind.items(), key=lambda item: item[1], reverse=True)
    values = np.array([value for _, value in ordered])
    rows = np.arange(len(values))
    colours = np.where(values < overall, ANOMALY_COLOUR, NORMAL_COLOUR)
    left = 1 - max(1.15 * (1 - values.min()), 0.01)

    figure = _figure(9.5, 0.3 * len(ordered) + 1.1)
    axes = figure.subplots()
    axes.hlines(rows, left, values, colors=colours.tolist(), linewidth=2, alpha=0.35)
    axes.scatter(values, rows, c=colours, s=55, zorder=3, clip_on=False)
    axes.axvline(overall, color=INK, linewidth=1.2, label=f"all anomalies {overall:.4f}")
    style_axes(axes, xlabel="AUROC (0.5: guessing, 1: never confused with a normal image)")
    axes.set_yticks(rows, [short(name, 34) for name, _ in ordered])
    axes.grid(visible=False, axis="y")
    axes.set(xlim=(left, 1), ylim=(-0.6, len(values) - 0.4))
    beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center"}
    for row, value in enumerate(values):
        axes.text(1.02, row, f"{value:.4f}", fontsize=9, color=INK, **beside)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize=9)
    return figure


def style_axes(axes: Axes, title: str = "", xlabel: str = "", ylabel: str = "") -> None:
    """The look all charts share: light grid, no box, quiet ticks."""
    axes.set_title(title, fontsize=10, color=INK)
    axes.set_xlabel(xlabel, fontsize=9, color=MUTED)
    axes.set_ylabel(ylabel, fontsize=9, color=MUTED)
    axes.tick_params(labelsize=8.5, labelcolor=INK, color=MUTED, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.grid(visible=True, color="#e5e8eb", linewidth=0.8)
    axes.set_axisbelow(True)


def plain(name: str) -> str:
    """A name as matplotlib text: it need not be Unicode, nor may a dollar sign start a formula."""
    return name.encode(errors="replace").decode().replace("$", r"\$")


def short(name: str, length: int) -> str:
    """A name cut to at most `length` characters, safe as matplotlib text."""
    return plain(name if len(name) <= length else name[: length - 1] + "…")


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _draw_confusion(axes: Axes, cells: Mapping[str, int]) -> None:
    """Rows are the truth; blue is right, orange wrong; strength is the share of the row."""
    counts = np.array([[cells["tn"], cells["fp"]], [cells["fn"], cells["tp"]]])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right, wrong = np.array([0, 114, 178]) / 255, np.array([213, 94, 0]) / 255
    colours = np.where(np.eye(2, dtype=bool)[..., None], right, wrong)
    axes.imshow(1 - shares[..., None] * (1 - colours))
    for row in range(2):
        for column in range(2):
            ink = "white" if shares[row, column] > 0.6 else INK
            text: dict[str, Any] = {"ha": "center", "color": ink}
            axes.text(column, row - 0.06, f"{counts[row, column]:,}", fontsize=13, **text)
            axes.text(column, row + 0.24, f"{shares[row, column]:.1%}", fontsize=9, **text)
    axes.set_xticks([0, 1], ["called\nnormal", "called\nanomaly"])
    axes.set_yticks([0, 1], ["normal", "anomaly"])
    axes.tick_params(length=0, labelsize=9, labelcolor=INK)
    axes.spines[:].set_color("#d0d7de")
