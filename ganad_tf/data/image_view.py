"""Some rows of a large array on disk, read only when they are asked for."""

from typing import Any

import numpy as np


class Rows:
    """A view of chosen rows of an array, which numpy itself can only copy.

    Stands where an image array stands: it has `shape`, `dtype`, `ndim` and a length; indexing it
    gives numpy arrays, so that training on a folder larger than the memory reads batch by batch.

    Args:
        array: [M, ...], usually an `np.memmap`, or a view of one.
        indices: int [N], rows of it, in the view's order.
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
        # One number as first index has already removed the first axis.
        return rows[tuple(rest) if rows.ndim < self.ndim else (slice(None), *rest)]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype)
