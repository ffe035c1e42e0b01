"""Regions: the connected pieces of a mask, each with its place, its size and its peak."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

# Pixels that touch at a corner belong together, as in the AUPRO.
NEIGHBOURS = np.ones((3, 3))


class Region(NamedTuple):
    """One connected piece of a mask, in pixels of the map.

    Args:
        box: left, top, width, height.
        area: how many pixels are marked.
        percent: that as a share of all pixels of the map, 0 to 100.
        peak: the largest map value.
    """

    box: tuple[int, int, int, int]
    area: int
    percent: float
    peak: float


class Explanation(NamedTuple):
    """Where images look anomalous; see `Detector.explain`.

    Args:
        anomaly_map: float32 [N, h, w], on one scale for all images. At most 1 in 1000 pixels of
            normal validation images passes 1; see `MapScale`.
        reconstruction: uint8 [N, h, w, C], the images as the generator repeats them.
        mask: bool [N, h, w], the marked pixels: those of a map value above the pixel threshold.
            None in detectors of earlier versions.
        regions: the regions of each image; None without a mask.
    """

    anomaly_map: np.ndarray
    reconstruction: np.ndarray
    mask: np.ndarray | None = None
    regions: Sequence[Sequence[Region]] | None = None


def find_regions(heat: np.ndarray, mask: np.ndarray) -> list[Region]:
    """The regions of one image, in the order of their first pixels, row by row.

    `export/runtime.py` has a copy that needs numpy alone. A test holds the two together.

    Args:
        heat: the anomaly map, float [h, w].
        mask: the marked pixels, bool [h, w].
    """
    labels, count = ndimage.label(mask, NEIGHBOURS)
    numbers = np.arange(1, count + 1)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    peaks = ndimage.maximum(heat, labels, numbers) if count else []
    regions = []
    for (rows, columns), area, peak in zip(ndimage.find_objects(labels), areas, peaks, strict=True):
        box = (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        regions.append(Region(box, int(area), 100 * int(area) / mask.size, float(peak)))
    return regions
