"""Simple statistics of images, and whether those of new images differ from training's.

`export/runtime.py` is one file that users copy to other machines, so it repeats the constants and
functions of this module. tests/data/test_image_statistics.py compares their sources.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from ganad_tf.data.image_files.decoding import orientation
from ganad_tf.data.image_files.reduced_jpeg import file_size
from ganad_tf.data.images import LabelledImages

# name -> (words, relative margin, absolute margin). A median that differs from training's by less
# than the larger margin does not matter, however sure the difference is. The relative margin is a
# share of the training median, the absolute one has the statistic's unit.
STATISTICS = {
    "brightness": ("brightness", 0.05, 2.0),
    "contrast": ("contrast", 0.10, 1.0),
    "sharpness": ("sharpness", 0.10, 0.02),
    "red": ("red / brightness", 0.03, 0.01),
    "blue": ("blue / brightness", 0.03, 0.01),
    "size": ("longer side in pixels", 0.10, 1.0),
    "aspect": ("width / height", 0.05, 0.01),
    "saturation": ("saturation", 0.10, 2.0),
}
FILE_STATISTICS = ("size", "aspect", "saturation")
# Standard deviations of the rank sum: by chance more in 6 of 10 million comparisons.
MAX_DEVIATION = 5.0
# Fewer training images do not show how far normal images spread.
MIN_TRAINING = 20
MAX_MEASURED = 10_000
MAX_SAMPLE = 200


def measure_pixels(images: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of images as the model gets them.

    Args:
        images: uint8 [N, h, w, C], C = 1 (grey) or 3 (RGB).

    Returns:
        Name -> float64 [N], rounded to 4 decimals: `brightness`, the mean over all pixels and
        channels, 0 to 255; `contrast`, the standard deviation of the grey pixels; `sharpness`, the
        root mean square of the steps between neighbouring grey pixels, divided by the contrast;
        and of coloured images `red` and `blue`, the means of these channels divided by the
        brightness. Of a uniform image the sharpness is 0, of a black one `red` and `blue` are 1.
    """
    columns: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(images), 16):  # as floats, images take four times the memory
        part = images[start : start + 16].astype(np.float32)
        means = part.mean(axis=(1, 2), dtype=np.float64)
        grey = part[..., 0] if part.shape[-1] == 1 else part.mean(axis=-1)
        brightness, contrast = means.mean(axis=-1), grey.std(axis=(1, 2), dtype=np.float64)
        across, down = np.diff(grey, axis=2), np.diff(grey, axis=1)
        count = max(1, across[0].size + down[0].size)
        energy = sum(
            np.square(steps).sum(axis=(1, 2), dtype=np.float64) for steps in (across, down)
        )
        sharpness = np.sqrt(energy / count) / np.maximum(contrast, 1e-9) * (contrast > 1e-3)
        measured = {"brightness": brightness, "contrast": contrast, "sharpness": sharpness}
        if part.shape[-1] == 3:
            for name, channel in (("red", 0), ("blue", 2)):
                bright = np.maximum(brightness, 1e-9)
                measured[name] = np.where(brightness > 0, means[:, channel] / bright, 1.0)
        for name, column in measured.items():
            columns.setdefault(name, []).append(column)
    return {name: np.round(np.concatenate(parts), 4) for name, parts in columns.items()}


def measure_file(image: "Image.Image") -> tuple[float, float, float]:
    """Statistics of an image file before it is brought to the model's size.

    Args:
        image: an opened image; it is loaded.

    Returns:
        `size`, the longer side in pixels; `aspect`, width / height as it is shown; `saturation`,
        the mean difference between the largest and the smallest channel, 0 (grey) to 255, after
        the image was averaged to 32x32 pixels. Single pixels would not do: their noise in colour
        depends on the size at which a JPEG file was decoded.
    """
    width, height = shown_size(image)
    saturation = 0.0
    if image.mode[0] not in "1LIF":
        colours = image.convert("RGBA") if image.mode == "RGBa" else image
        colours = colours if colours.mode == "RGB" else colours.convert("RGB")
        channels = np.asarray(colours.resize((32, 32), 2), np.int16)  # bilinear
        saturation = float((channels.max(axis=-1) - channels.min(axis=-1)).mean())
    return max(width, height), round(width / height, 4), round(saturation, 4)


def shown_size(image: "Image.Image") -> tuple[int, int]:
    """Width and height of an opened image as viewers show it, turned by its EXIF data."""
    width, height = file_size(image)
    return (height, width) if orientation(image) >= 5 else (width, height)


def rank_among(values: np.ndarray, percentiles: np.ndarray) -> np.ndarray:
    """The share of training images below each value, in [0, 1]; half of the equal ones count.

    Args:
        values: float [N].
        percentiles: float [101], ascending; the 0th, 1st ... 100th of the training images.
    """
    below, up_to = (np.searchsorted(percentiles, values, side) for side in ("left", "right"))
    return (below + up_to) / (2 * len(percentiles))


def find_shifts(
    ranges: Mapping[str, Any], values: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Which statistics of some images differ from those of the normal training images.

    A statistic is shifted if its median differs from the training median by more than its margin
    (see `STATISTICS`), and at least one of these holds:

    - The ranks of the images among the training images are higher or lower than chance allows:
      their mean is more than 5 standard deviations from one half (rank sum test of Wilcoxon, Mann
      and Whitney). That takes at least 9 images.
    - The median lies outside of all training images, by more than they are apart.

    Args:
        ranges: of the training images, see `fit_ranges`.
        values: name -> float [N], from `measure_pixels` and `measure_file`.

    Returns:
        For each shifted statistic its `name`, the `median` of the images, the `training` median,
        `low` and `high`, the 1st and 99th percentile in training, and `outside`, the number of
        images that are not between those two.
    """
    shifts = []
    known = ranges["images"]
    for name, percentiles in ranges["percentiles"].items():
        if name not in STATISTICS or not len(values.get(name, ())):
            continue
        usual, new = np.asarray(percentiles, np.float64), np.asarray(values[name], np.float64)
        median, training = float(np.median(new)), float(usual[50])
        _, relative, absolute = STATISTICS[name]
        margin = max(relative * abs(training), absolute)
        if abs(median - training) <= margin:
            continue
        deviation = math.sqrt((known + len(new) + 1) / (12 * known * len(new)))
        is_sure = abs(rank_among(new, usual).mean() - 0.5) > MAX_DEVIATION * deviation
        beyond = max(usual[0] - median, median - usual[-1])
        is_far = known >= MIN_TRAINING and beyond > max(usual[-1] - usual[0], margin)
        if is_sure or is_far:
            low, high = float(usual[1]), float(usual[99])
            outside = int(np.count_nonzero((new < low) | (new > high)))
            found = {"name": name, "median": median, "training": training, "outside": outside}
            shifts.append({**found, "low": low, "high": high})
    return shifts


def describe_shifts(
    shifts: list[dict[str, Any]], images: int, known: int, source: str = "training"
) -> str:
    """One line for a person, empty if nothing is shifted.

    Args:
        shifts: what `find_shifts` returned.
        images: how many images were compared.
        known: the number of training images.
        source: what the model took the ranges from: `training`, or a later `recalibration`.
    """
    if not shifts:
        return ""
    parts = [
        f"{STATISTICS[shift['name']][0]} {shift['median']:.4g} ({shift['training']:.4g}; "
        f"{shift['low']:.4g} to {shift['high']:.4g}; {shift['outside']:,} outside)"
        for shift in shifts
    ]
    which = "1 image differs" if images == 1 else f"{images:,} images differ"
    return (
        f"{which} from the {known:,} normal {source} images: {', '.join(parts)}. Medians, in "
        f"brackets those of the {source} images, their middle 98 %, and how many images lie "
        f"outside of it. Expect other rates of false alarms and misses than in {source}, unless "
        "most of the images are anomalies"
    )


def measure(images: LabelledImages, indices: np.ndarray) -> dict[str, np.ndarray]:
    """All statistics of some images, name -> float64 [n]; of files only where there are files.

    Args:
        images: the images.
        indices: int [n].
    """
    parts = [
        measure_pixels(np.asarray(images.images[indices[start : start + 256]]))
        for start in range(0, len(indices), 256)
    ]
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if images.file_statistics is not None:
        of_files = images.file_statistics[indices].T
        values.update(zip(FILE_STATISTICS, of_files, strict=True))
    return values


def fit_ranges(images: LabelledImages) -> dict[str, Any]:
    """The ranges of all statistics over the normal images of the training part.

    Args:
        images: the training part, with at least one normal image; at most 10,000 of these, evenly
            spaced, are measured.

    Returns:
        Plain values for JSON: `images`, how many were measured; `percentiles`: name -> the 0th, 1st
        ... 100th percentile; and `sample`: name -> the sorted values of at most 200 of the images,
        drawn evenly, with which a monitor compares new images.
    """
    normals = np.flatnonzero(~images.is_anomaly)
    if len(normals) > MAX_MEASURED:
        normals = normals[np.linspace(0, len(normals) - 1, MAX_MEASURED).astype(int)]
    return ranges_of(measure(images, normals))


def ranges_of(values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The ranges of statistics, as `fit_ranges` returns them.

    Args:
        values: name -> float64 [n] with n at least 1, see `measure_pixels` and `measure_file`.
    """
    percentiles = {
        name: np.round(np.percentile(column, np.arange(101)), 4).tolist()
        for name, column in values.items()
    }
    count = len(next(iter(values.values())))
    drawn = np.random.default_rng(0).permutation(count)[:MAX_SAMPLE]
    sample = {name: np.sort(np.round(column[drawn], 4)).tolist() for name, column in values.items()}
    return {"images": count, "percentiles": percentiles, "sample": sample}


def describe_shift(ranges: Mapping[str, Any] | None, images: LabelledImages) -> str:
    """How the normal images of a part differ from the training images; empty if they do not.

    Args:
        ranges: from `fit_ranges`; None if they are not known, as in runs of earlier versions.
        images: the part.
    """
    normals = np.flatnonzero(~images.is_anomaly)
    if ranges is None or not len(normals):
        return ""
    shifts = find_shifts(ranges, measure(images, normals))
    source = ranges.get("source", "training")
    return describe_shifts(shifts, len(normals), ranges["images"], source)
