"""Pictures of what the detector saw: samples with their anomaly maps, and its worst mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ganad_tf.data.image_view import ImageView
from ganad_tf.report.overlays import HEAT, overlay
from ganad_tf.report.plots import ANOMALY_COLOUR, INK, MUTED, NORMAL_COLOUR, short

_MAP_COLOURS = "inferno"
_OVERLAY_COLOURS = LinearSegmentedColormap.from_list("heat", np.array(HEAT) / 255)
# Sky blue stands out from every colour of the heat and from grey.
_OUTLINE_COLOUR = "#56B4E9"


@dataclass(frozen=True)
class Samples:
    """Images with what the detector made of them.

    Attributes:
        images: uint8 [N, H, W, C], C 1 or 3.
        reconstructions: uint8, same shape.
        maps: anomaly maps, float [N, H, W], on the detector's one scale for all images.
        kinds: name of each image's kind, N of them.
        scores: anomaly scores [N].
        masks: where the defect is, bool [H, W] or None each; empty where no mask is known.
        marked: the pixels that the detector marks, bool [H, W] each; empty if it marks none.
    """

    images: np.ndarray
    reconstructions: np.ndarray
    maps: np.ndarray
    kinds: Sequence[str]
    scores: np.ndarray
    masks: Sequence[np.ndarray | None] = ()
    marked: Sequence[np.ndarray] = ()


def pick_examples(
    is_anomaly: ArrayLike, kinds: ArrayLike, count: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draws samples to show at random and evenly over kinds, whatever their scores.

    Args:
        is_anomaly: the truth [N].
        kinds: kind of each image [N].
        count: how many of each group, fewer where there are fewer.
        seed: the same seed draws the same images.

    Returns:
        Indices of normal images, indices of anomalies; each ordered by kind.
    """
    is_anomaly, kinds = np.asarray(is_anomaly).astype(bool), np.asarray(kinds)
    rng = np.random.default_rng(seed)
    return (
        _even_draw(np.flatnonzero(~is_anomaly), kinds, count, rng),
        _even_draw(np.flatnonzero(is_anomaly), kinds, count, rng),
    )


def sample_rows(
    normal: Samples, anomalous: Samples, colour_range: tuple[float, float] = (0.0, 2.0)
) -> Figure:
    """Original, reconstruction and anomaly map of normal and of anomalous samples.

    All maps have the same scale, `colour_range`, so a normal image stays dark.

    Args:
        normal: normal samples, at least one.
        anomalous: anomalous samples; with none, their half is left out.
        colour_range: map values of the coldest and the hottest colour.
    """
    scale = Normalize(*colour_range)
    figure, groups = _groups(normal, anomalous, rows=3, height=4.05)
    for axes, samples in groups:
        _draw_samples(axes, samples, scale)
    _draw_scale(figure, scale, _MAP_COLOURS, len(groups))
    return figure


def overlay_rows(
    normal: Samples, anomalous: Samples, colour_range: tuple[float, float] = (0.0, 2.0)
) -> Figure:
    """Normal and anomalous samples, each above itself with its anomaly map laid over it.

    Where a mask is known, its outline is drawn on the map, and so is that of marked regions.

    Args:
        normal: normal samples, at least one.
        anomalous: anomalous samples; with none, their half is left out.
        colour_range: map values of the coldest and the hottest colour.
    """
    figure, groups = _groups(normal, anomalous, rows=2, height=2.8)
    for axes, samples in groups:
        _draw_overlays(axes, samples, colour_range)
    _draw_scale(figure, Normalize(*colour_range), _OVERLAY_COLOURS, len(groups))
    return figure


def _groups(
    normal: Samples, anomalous: Samples, rows: int, height: float
) -> tuple[Figure, list[tuple[np.ndarray, Samples]]]:
    """An empty figure: a heading above `rows` rows of pictures, for each group that has images.

    Args:
        normal, anomalous: the groups.
        rows: of pictures in a group.
        height: of a group, in inches.

    Returns:
        The figure, and of each group the axes for its pictures [rows, columns] and its samples.
    """
    headed = [("Normal", NORMAL_COLOUR, normal), ("Anomalous", ANOMALY_COLOUR, anomalous)]
    headed = [group for group in headed if len(group[2].images)]
    columns = max(len(samples.images) for _, _, samples in headed)
    size = (1.05 * columns + 1.6, height * len(headed))
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    ratios = [0.3, *[1] * rows] * len(headed)
    grid = figure.subplots(len(ratios), columns, squeeze=False, height_ratios=ratios)
    groups = []
    for part, (heading, colour, samples) in zip(np.split(grid, len(headed)), headed, strict=True):
        _write_heading(part[0], heading, colour)
        groups.append((part[1:], samples))
    return figure, groups


def worst_mistakes(
    images: np.ndarray | ImageView,
    scores: ArrayLike,
    is_anomaly: ArrayLike,
    kinds: ArrayLike,
    kind_names: Sequence[str],
    threshold: float,
    count: int = 10,
) -> Figure:
    """The normal images with the highest scores and the anomalies, if any, with the lowest.

    A score on the wrong side of the threshold is printed in orange.

    Args:
        images: uint8 [N, H, W, C]; only those shown are read.
        scores: anomaly scores [N].
        is_anomaly: the truth [N].
        kinds: index [N] into `kind_names`.
        kind_names: names of all kinds.
        threshold: scores above it are called anomalies.
        count: images a row.
    """
    scores, kinds = np.asarray(scores), np.asarray(kinds)
    is_anomaly = np.asarray(is_anomaly).astype(bool)
    order = np.argsort(scores, kind="stable")
    missed = order[is_anomaly[order]][:count]
    false_alarms = order[~is_anomaly[order]][::-1][:count]

    groups = [("Normal, yet scored highest", NORMAL_COLOUR, false_alarms)]
    if len(missed):
        groups.append(("Anomalous, yet scored lowest", ANOMALY_COLOUR, missed))
    columns = max(len(missed), len(false_alarms))
    size = (0.95 * columns + 0.3, 1.85 * len(groups))
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    ratios = [0.3, 1] * len(groups)
    grid = figure.subplots(len(ratios), columns, squeeze=False, height_ratios=ratios)
    for top, (heading, colour, chosen) in zip(range(0, len(grid), 2), groups, strict=True):
        _write_heading(grid[top], heading, colour)
        for axes in grid[top + 1, len(chosen) :]:
            axes.set_axis_off()
        for axes, index in zip(grid[top + 1], chosen, strict=False):
            is_wrong = (scores[index] > threshold) != is_anomaly[index]
            _show_image(axes, images[index])
            axes.set_title(short(kind_names[kinds[index]], 13), fontsize=8, color=INK)
            axes.set_xlabel(
                f"{scores[index]:.3g}", fontsize=8.5, color=ANOMALY_COLOUR if is_wrong else MUTED
            )
    return figure


def _even_draw(
    candidates: np.ndarray, kinds: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """`count` of the candidates, taking turns between kinds, then sorted by kind."""
    shuffled = rng.permutation(candidates)
    turn = np.zeros(len(shuffled), int)
    for kind in np.unique(kinds[shuffled]):
        of_kind = kinds[shuffled] == kind
        turn[of_kind] = np.arange(np.count_nonzero(of_kind))
    drawn = shuffled[np.argsort(turn, kind="stable")[:count]]
    return drawn[np.argsort(kinds[drawn], kind="stable")]


def _write_heading(row: Sequence[Axes], heading: str, colour: str) -> None:
    for axes in row:
        axes.set_axis_off()
    # The heading spans all columns. If it took part in the layout, it would widen the first one.
    row[0].text(0, 0, heading, fontsize=11, weight="bold", color=colour).set_in_layout(False)


def _draw_samples(rows: np.ndarray, samples: Samples, scale: Normalize) -> None:
    for column in range(rows.shape[1]):
        if column >= len(samples.images):
            for axes in rows[:, column]:
                axes.set_axis_off()
            continue
        original, reconstruction, heat = rows[:, column]
        _show_image(original, samples.images[column])
        _show_image(reconstruction, samples.reconstructions[column])
        heat.imshow(samples.maps[column], cmap=_MAP_COLOURS, norm=scale, interpolation="nearest")
        _clear(heat)
        original.set_title(short(samples.kinds[column], 13), fontsize=8.5, color=INK)
        heat.set_xlabel(f"score {samples.scores[column]:.3g}", fontsize=8, color=MUTED)
    for axes, label in zip(rows[:, 0], ("original", "reconstruction", "anomaly map"), strict=True):
        axes.set_ylabel(label, fontsize=8.5, color=MUTED)


def _draw_overlays(rows: np.ndarray, samples: Samples, colour_range: tuple[float, float]) -> None:
    for column in range(rows.shape[1]):
        if column >= len(samples.images):
            for axes in rows[:, column]:
                axes.set_axis_off()
            continue
        original, heat = rows[:, column]
        image = samples.images[column]
        _show_image(original, image)
        marked = samples.marked[column] if len(samples.marked) else None
        _show_image(heat, overlay(image, samples.maps[column], colour_range, marked))
        mask = samples.masks[column] if len(samples.masks) else None
        if mask is not None:
            # Only on the map, since a line around a fine scratch would hide it. The mask is padded,
            # so that the outline of a defect at the border is closed.
            high, wide = mask.shape
            x, y = np.arange(-1, wide + 1), np.arange(-1, high + 1)
            heat.contour(x, y, np.pad(mask, 1), [0.5], colors=_OUTLINE_COLOUR, linewidths=1)
            heat.set(xlim=(-0.5, wide - 0.5), ylim=(high - 0.5, -0.5))
        original.set_title(short(samples.kinds[column], 13), fontsize=8.5, color=INK)
        heat.set_xlabel(f"score {samples.scores[column]:.3g}", fontsize=8, color=MUTED)
    for axes, label in zip(rows[:, 0], ("original", "with its map"), strict=True):
        axes.set_ylabel(label, fontsize=8.5, color=MUTED)


def _draw_scale(figure: Figure, scale: Normalize, colours: str | Colormap, groups: int) -> None:
    """A colour bar as high as one of the groups, which its label needs."""
    bar = figure.colorbar(
        ScalarMappable(scale, colours),
        ax=figure.axes,
        shrink=1 / groups,
        aspect=28,
        pad=0.02,
        extend="max",
    )
    bar.set_label("anomaly map, one scale for all images", fontsize=9, color=MUTED)
    bar.ax.tick_params(labelsize=8.5, labelcolor=INK, color=MUTED)
    bar.outline.set_visible(False)


def _show_image(axes: Axes, image: np.ndarray) -> None:
    """Draws a uint8 image [H, W, C] with its values as they are, never stretched."""
    picture = image[..., 0] if image.shape[-1] == 1 else image
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    _clear(axes)


def _clear(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
