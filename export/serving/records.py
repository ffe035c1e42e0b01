"""Records of image files that a server scores, in the form of export/runtime.py."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..runtime import (
    add_file_boxes,
    describe_unreadable,
    find_regions,
    open_image,
    prepare,
    shown_size,
)
from .transports import MAPS, OUTPUTS


class Reading(NamedTuple):
    """How files are read, and what their records hold.

    Args:
        image_shape: (h, w, C) of the model's images.
        resize, bit_depth, max_pixels: see `Client.score_files`.
        regions: whether records have `regions`.
    """

    image_shape: tuple[int, int, int]
    resize: str
    bit_depth: int
    max_pixels: int | None
    regions: bool

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the server is asked for."""
        return (*OUTPUTS, *MAPS) if self.regions else OUTPUTS

    def read(self, path: str) -> tuple[np.ndarray, tuple[int, int]]:
        """The image as the model takes it, and the size of its file."""
        with open_image(path, self.max_pixels) as image:
            pixels = prepare(image, self.image_shape, self.resize, self.bit_depth, self.max_pixels)
            return pixels, shown_size(image)


def score_batch(
    score: Callable[[np.ndarray], dict[str, np.ndarray]], paths: Sequence[str], reading: Reading
) -> list[dict[str, Any]]:
    """One record for each file.

    Args:
        score: gives the outputs of `reading` for images.
        paths: the files.
        reading: how they are read.
    """
    records, images, sizes = [], [], []
    for path in paths:
        record: dict[str, Any] = {"path": path}
        records.append(record)
        try:
            image, size = reading.read(path)
            images.append(image)
            sizes.append(size)
        except Exception as error:
            # Pillow's readers raise anything from OSError to struct.error on damaged files.
            record["error"] = describe_unreadable(error)
    if not images:
        return records
    results = score(np.stack(images))
    rows = zip(*(results[name].tolist() for name in OUTPUTS), strict=True)
    scored = [record for record in records if "error" not in record]
    for number, (record, row) in enumerate(zip(scored, rows, strict=True)):
        record.update(zip(OUTPUTS, row, strict=True))
        if reading.regions:
            heat, mask = (results[name][number] for name in MAPS)
            record["regions"] = find_regions(heat, mask)
            add_file_boxes(record["regions"], sizes[number], mask.shape, reading.resize)
    return records
