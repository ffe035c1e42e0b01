"""Images with their kinds, files and masks."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ganad_tf.data.image_view import ImageView
from ganad_tf.data.masks import Masks
from ganad_tf.errors import DataError


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """A set of images of one size, each of a known kind.

    Args:
        images: uint8 [N, H, W, C], C = 1 (grey) or 3 (RGB); an array, an `np.memmap` or a view.
        kinds: int64 [N], the index of each image's kind in `kind_names`.
        kind_names: names of all kinds, including kinds without an image in this set.
        normal_kinds: the kinds that are normal; all others are anomalies.
        paths: the image files, relative to the data folder, one per image; empty if the images
            do not come from image files.
        masks: the defective pixels, one mask per image; None if no mask is known.
        file_statistics: float64 [N, 3], of the image files before they were brought to one size;
            see `ganad_tf.data.image_statistics.measure_file`. None if they are not known.

    Raises:
        DataError: if shapes, types or ranges are not as above.
    """

    images: np.ndarray | ImageView
    kinds: np.ndarray
    kind_names: tuple[str, ...]
    normal_kinds: frozenset[int] = frozenset()
    paths: tuple[str, ...] = ()
    masks: Masks | None = None
    file_statistics: np.ndarray | None = None

    def __post_init__(self) -> None:
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
        if len(self.paths) not in (0, len(images)):
            raise DataError(
                f"paths must be {len(images)}, one per image, or none. Received: {len(self.paths)}"
            )
        if self.masks is not None and len(self.masks) != len(images):
            raise DataError(
                f"masks must be {len(images)}, one per image, or None. Received: {len(self.masks)}"
            )
        files = self.file_statistics
        if files is not None and files.shape != (len(images), 3):
            raise DataError(
                f"file_statistics must be [{len(images)}, 3]. Received: {list(files.shape)}"
            )

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def is_anomaly(self) -> np.ndarray:
        """bool [N]."""
        is_normal = np.isin(np.arange(len(self.kind_names)), list(self.normal_kinds))
        return ~is_normal[self.kinds]

    def subset(self, indices: Sequence[int] | np.ndarray) -> "LabelledImages":
        """The images at `indices`, in that order, with their paths and masks.

        Images on disk stay there. `masks` is None if no image of the subset has one.

        Args:
            indices: int [n], or bool [N].
        """
        chosen = np.arange(len(self))[indices]
        images, masks, files = self.images, self.masks, self.file_statistics
        if masks is not None:
            masks = masks.subset(chosen)
        return replace(
            self,
            images=images.subset(chosen) if isinstance(images, ImageView) else images[chosen],
            kinds=self.kinds[chosen],
            paths=tuple(self.paths[index] for index in chosen) if self.paths else (),
            masks=masks if masks is not None and masks.known.any() else None,
            file_statistics=None if files is None else files[chosen],
        )

    def with_normal(self, *kinds: int) -> "LabelledImages":
        """The same images with `kinds` as the normal ones."""
        return replace(self, normal_kinds=frozenset(kinds))

    def digest(self) -> str:
        """sha256 of pixels and kinds, as hexadecimal digits."""
        sha256 = hashlib.sha256(repr(self.images.shape).encode())
        sha256.update(np.ascontiguousarray(self.images).data)
        sha256.update(np.ascontiguousarray(self.kinds).data)
        return sha256.hexdigest()


def pixel_digest(image: np.ndarray) -> bytes:
    """SHA-256 of an image's pixels, for images of one shape and type."""
    return hashlib.sha256(np.ascontiguousarray(image).data).digest()


def drawn(indices: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most so many of some indices, int [n], sorted; all of them if they are no more."""
    if len(indices) > most:
        indices = np.random.default_rng(seed).choice(indices, most, replace=False)
    return np.sort(indices)
