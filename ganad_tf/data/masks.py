"""Pixel masks: which pixels of an image are defective."""

import copy
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ganad_tf.data.image_files.decoding import placed
from ganad_tf.data.image_files.mask_file import read_mask_file

# Masks kept in memory after reading. Training draws the same ones again and again; 4096 masks of
# 256 x 256 pixels, the largest image size, take 256 MB.
MAX_KEPT = 4096


class Masks:
    """Where the images of one set are defective. Mask files are read when asked for.

    Args:
        paths: the mask files of each image, which are laid over one another; one path, or None for
            an image without a mask. Files of normal images are not read.
        is_anomaly: bool [N], which of the images are anomalies.
        image_size: S.
        resize: how images were brought to the square; see `read_mask`.
        max_pixels: the most pixels that a mask file may have.

    Raises:
        ValueError: if `paths` and `is_anomaly` are not of one length.
    """

    def __init__(
        self,
        paths: Sequence[Path | tuple[Path, ...] | None],
        is_anomaly: np.ndarray,
        image_size: int,
        resize: str = "stretch",
        max_pixels: int | None = None,
    ):
        self._paths = tuple(paths)
        self._is_anomaly = np.asarray(is_anomaly, bool)
        if self._is_anomaly.shape != (len(self._paths),):
            raise ValueError(
                f"is_anomaly must be [{len(self._paths)}], one per path. "
                f"Received: {list(self._is_anomaly.shape)}"
            )
        self._size = image_size
        self._read = functools.lru_cache(MAX_KEPT)(
            lambda path: read_mask(path, image_size, resize, max_pixels)
        )

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def known(self) -> np.ndarray:
        """bool [N], true for anomalies with a mask of their own."""
        return self._is_anomaly & np.array([path is not None for path in self._paths], bool)

    @property
    def measurable(self) -> np.ndarray:
        """int64 [M], ascending: the images whose defective pixels are known.

        These are the normal images, which have none, and the anomalies with a mask.
        """
        return np.flatnonzero(self.known | ~self._is_anomaly)

    def __getitem__(self, index: int) -> np.ndarray | None:
        """The mask of one image, bool [S, S], true on defects; None if it is unknown.

        It is false everywhere for a normal image, and None for an anomaly without a mask.
        """
        if not self._is_anomaly[index]:
            return np.zeros((self._size, self._size), bool)
        path = self._paths[index]
        return None if path is None else self._read(path)

    def subset(self, indices: Sequence[int] | np.ndarray) -> "Masks":
        """The masks of the images at `indices`, in that order. Both share what has been read.

        Args:
            indices: int [n], or bool [N].
        """
        chosen = np.arange(len(self))[indices]
        part = copy.copy(self)
        part._paths = tuple(self._paths[index] for index in chosen)
        part._is_anomaly = self._is_anomaly[chosen]
        return part

    def as_pixels(self, indices: np.ndarray) -> np.ndarray:
        """Masks as images, for training.

        Args:
            indices: int [n].

        Returns:
            uint8 [n, S, S, 1]: 255 on defective pixels, else 0. Without a mask, the whole image of
            an anomaly is treated as anomalous: 255 everywhere.
        """
        pixels = np.full((len(indices), self._size, self._size, 1), 255, np.uint8)
        for number, index in enumerate(indices):
            mask = self[index]
            if mask is not None:
                pixels[number, ..., 0] = mask * np.uint8(255)
        return pixels


def read_mask(
    path: Path | tuple[Path, ...],
    image_size: int,
    resize: str = "stretch",
    max_pixels: int | None = None,
) -> np.ndarray:
    """Reads a mask file and scales it in the same way as its image.

    A pixel is defective if at least half of its area is. If no pixel reaches half, the pixels with
    the largest defective share are, so that even the finest defect leaves a trace. Padding is never
    defective.

    Args:
        path: the mask file, or several that are laid over one another.
        image_size: S.
        resize: `stretch` or `pad`; see `ganad_tf.data.image_files.decoding.placed`.
        max_pixels: the most pixels that a mask file may have.

    Returns:
        bool [S, S], read-only.
    """
    paths = path if isinstance(path, tuple) else (path,)
    defective = functools.reduce(np.logical_or, (defective_pixels(p, max_pixels) for p in paths))
    return scaled_mask(defective, image_size, resize)


def scaled_mask(defective: np.ndarray, image_size: int, resize: str = "stretch") -> np.ndarray:
    """Scales defective pixels, bool [H, W] with at least one, by the rule of `read_mask`."""
    share = Image.fromarray(defective.astype(np.float32))
    left, top, wide, high = placed(share.size, (image_size, image_size), resize)
    shares = np.asarray(share.resize((wide, high), Image.Resampling.BOX))
    mask = np.zeros((image_size, image_size), bool)
    mask[top : top + high, left : left + wide] = shares >= min(0.5, shares.max())
    mask.setflags(write=False)  # several readers share one array
    return mask


def defective_pixels(path: Path, max_pixels: int | None = None) -> np.ndarray:
    """Reads a mask file at its own size: bool [H, W]; see `read_mask_file` for the rule."""
    return read_mask_file(path, max_pixels).defective
