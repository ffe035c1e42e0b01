"""The size that images are brought to, where nobody asked for one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ganad_tf.data.image_files.decoding import open_image

# The pretrained encoder was trained at 224 pixels; 288 were worse than that on a part of the solar
# cells, which have 300. The encoder's stride is 32.
MAX_SIZE, MIN_SIZE, STEP = 224, 32, 32
# Headers that are read; a folder of photos rarely has more than a few sizes.
MAX_HEADERS = 200


def natural_size(paths: Sequence[Path], max_pixels: int | None = None) -> int:
    """A size that follows the images: their median shorter side, rounded up to a multiple of 32.

    Args:
        paths: image files; headers of some, evenly spread, are read. Broken files do not count.
        max_pixels: larger images do not count, either.

    Returns:
        A multiple of 32 from 32 to 224; 224 if no file can be read.
    """
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(MAX_HEADERS, len(paths))).astype(int))
    sides = [
        side for index in chosen if (side := _shorter_side(paths[index], max_pixels)) is not None
    ]
    return size_for(sides) if sides else MAX_SIZE


def size_for(sides: Sequence[int]) -> int:
    """The size for images of these shorter sides, in pixels: a multiple of 32 from 32 to 224."""
    return int(np.clip(-(-np.median(sides) // STEP) * STEP, MIN_SIZE, MAX_SIZE))


def _shorter_side(path: Path, max_pixels: int | None) -> int | None:
    try:
        with open_image(path, max_pixels) as image:
            return min(image.size)
    except Exception:  # Pillow's readers raise dozens of types; the loader names the broken files
        return None
