"""Selected images of a large array on disk, read only when they are needed."""

from typing import Any

import numpy as np


class ImageView:
    """A view of selected rows of an array. numpy itself can only copy them.

    It can be used in place of an image array: it has `shape`, `dtype`, `ndim` and a length, and
    indexing it returns numpy arrays. Training on a folder larger than the memory therefore reads
    one batch at a time.

    Args:
        array: [M, ...], usually an `np.memmap`.
        indices: int [N], the selected rows, in the order of the view.
    """

    def __init__(self, array: np.ndarray, indices: np.ndarray):
        self._array = array
        self._indices = np.asarray(indices, np.int64)
        self.shape = (len(self._indices), *array.shape[1:])
        self.dtype = array.dtype
        self.ndim = array.ndim

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, key: Any) -> np.ndarray:
        first, *rest = key if isinstance(key, tuple) else (key,)
        rows = np.asarray(self._array[self._indices[first]])
        if not rest:
            return rows
        # A single number as first index has already removed the first axis.
        return rows[tuple(rest) if rows.ndim < self.ndim else (slice(None), *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def subset(self, indices: np.ndarray) -> "ImageView":
        """A view of some of these images. Nothing is read.

        Args:
            indices: int [n], positions in this view, or bool [N].
        """
        return ImageView(self._array, self._indices[np.asarray(indices)])
