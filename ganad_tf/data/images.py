"""Images in memory, the kind each belongs to, and which kinds are normal."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ganad_tf.errors import DataError


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """A set of images of one size, each of a known kind.

    Args:
        images: uint8 [N, H, W, C], C = 1 (grey) or 3 (RGB); may be an `np.memmap`.
        kinds: int64 [N], the index of each image's kind in `kind_names`.
        kind_names: names of all kinds, also of those without an image here.
        normal_kinds: the kinds that are normal; all others are anomalies.

    Raises:
        DataError: if shapes, types or ranges are not as above.
    """

    images: np.ndarray
    kinds: np.ndarray
    kind_names: tuple[str, ...]
    normal_kinds: frozenset[int] = frozenset()

    def __post_init__(self):
        images, kinds = self.images, self.kinds
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
            raise DataError(
                "images must be uint8 [N, H, W, C] with C = 1 or 3. "
                f"Received: {images.dtype} {list(images.shape)}"
            )
        if kinds.dtype != np.int64 or kinds.shape != images.shape[:1]:
            raise DataError(
                f"kinds must be int64 [{len(images)}], one per image. "
                f"Received: {kinds.dtype} {list(kinds.shape)}"
            )
        count = len(self.kind_names)
        if len(kinds) and not 0 <= kinds.min() <= kinds.max() < count:
            raise DataError(
                f"kinds must lie in 0..{count - 1}, as there are {count} kind names. "
                f"Received: {kinds.min()}..{kinds.max()}"
            )
        if not self.normal_kinds <= set(range(count)):
            raise DataError(
                f"normal_kinds must lie in 0..{count - 1}. Received: {sorted(self.normal_kinds)}"
            )

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def is_anomaly(self) -> np.ndarray:
        """bool [N]."""
        return ~np.isin(self.kinds, list(self.normal_kinds))

    def subset(self, indices: Sequence[int] | np.ndarray) -> "LabelledImages":
        """The images at `indices`, in that order."""
        return replace(self, images=self.images[indices], kinds=self.kinds[indices])

    def with_normal(self, *kinds: int) -> "LabelledImages":
        """The same images with `kinds` as the normal ones."""
        return replace(self, normal_kinds=frozenset(kinds))

    def digest(self) -> str:
        """sha256 of pixels and kinds, as hexadecimal digits."""
        sha256 = hashlib.sha256(repr(self.images.shape).encode())
        sha256.update(np.ascontiguousarray(self.images))
        sha256.update(np.ascontiguousarray(self.kinds))
        return sha256.hexdigest()
