"""Distances of an image, its encoder features and its pixels, to normal training images."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from ganad_tf.networks import pool_features

# The first encoder map knows edges only; the others see 10, 22 and 46 pixels of the image.
LEVELS = (1, 2, 3)
# The map whose single places are compared: small enough to be cheap, fine enough to show where.
LOCAL_LEVEL = 2
# An image's local distance is the mean over its most unusual places, at least one of them.
TOP_SHARE = 0.02
# Pixels are compared after averaging to this grid.
PIXEL_GRID = 16
# Shrinking towards the mean variance keeps directions of almost no variance from dominating.
# Pixels, unlike features, have directions without meaning, so they are hardly whitened.
SHRINKAGE, PIXEL_SHRINKAGE = 1.0, 10.0
MIN_SQUARE = 1e-12
# Relative rounding error of a squared distance as a matrix product, with room: float32 resolves
# 1.2e-7, and some hundred terms are added.
RESOLUTION = 4e-6


@dataclasses.dataclass(frozen=True)
class FeatureDistance:
    """Mean distance to the nearest prototypes of normal features, after whitening.

    A few hundred prototypes stand for all normal training images, so that the exported graph
    stays small: two matrix products and a top-k.

    Args:
        mean: [D], subtracted first.
        projection: [D, R], principal directions divided by their (shrunk) standard deviations.
        prototypes: [K, R], k-means centres of the projected normal features.
        nearest: how many prototypes are averaged over.
    """

    mean: np.ndarray
    projection: np.ndarray
    prototypes: np.ndarray
    nearest: int

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        seed: int,
        rank: int = 128,
        prototypes: int = 512,
        nearest: int = 3,
        shrinkage: float = SHRINKAGE,
    ) -> "FeatureDistance":
        """Fits to features of normal TRAINING images.

        Args:
            features: float32 [N, D].
            seed: of the k-means.
            rank, prototypes, nearest: upper limits; fewer where there are fewer features.
            shrinkage: share of the mean variance that is added to each direction's own.
        """
        features = features.astype(np.float64)
        # A direction needs several images to tell its variance from chance.
        rank = max(1, min(rank, features.shape[1], len(features) // 4))
        pca = PCA(rank, random_state=seed).fit(features)
        variance = pca.explained_variance_
        scale = np.sqrt(variance + shrinkage * variance.mean() + 1e-12)
        projection = pca.components_.T / scale
        projected = (features - pca.mean_) @ projection
        count = min(prototypes, len(projected))
        # One thread: sums that threads reorder would make two runs differ.
        with threadpool_limits(1):
            centres = MiniBatchKMeans(count, random_state=seed, n_init=1).fit(projected)
        return cls(
            pca.mean_.astype(np.float32),
            projection.astype(np.float32),
            centres.cluster_centers_.astype(np.float32),
            min(nearest, count),
        )

    def __call__(self, features: tf.Tensor) -> tf.Tensor:
        """Distance of each row, [N, D] to float32 [N]; depends on that row alone."""
        projected = tf.matmul(features - self.mean, self.projection)
        return nearest_distances(projected, self.prototypes, self.nearest)


def nearest_distances(features: tf.Tensor, prototypes: np.ndarray, nearest: int) -> tf.Tensor:
    """Mean distance of each row to its nearest prototypes, float32 [N].

    As one matrix product. A row that equals a prototype leaves the difference of nearly equal
    numbers, whose rounding depends on the row's position in the batch; so distances below the
    resolution of float32 count as that resolution.

    Args:
        features: float32 [N, R].
        prototypes: [K, R].
        nearest: how many prototypes are averaged over, at most K.
    """
    norms = np.sum(prototypes**2, axis=1)
    # Larger is nearer: the rest of the squared distance is the same for all prototypes.
    nearness = tf.matmul(features, 2 * prototypes, transpose_b=True) - norms
    closest, which = tf.math.top_k(nearness, nearest, sorted=False)
    row_norms = tf.reduce_sum(features**2, axis=1, keepdims=True)
    resolution = RESOLUTION * (row_norms + tf.gather(norms, which)) + MIN_SQUARE
    distances = tf.sqrt(tf.maximum(row_norms - closest, resolution))
    return tf.reduce_mean(distances, axis=1)


@dataclasses.dataclass(frozen=True)
class FeatureDistances:
    """The distances that are measured: of whole images, and of places in them.

    Args:
        pixels: over the image itself, averaged to a grid. Catches differences that the generator's
            encoder ignores.
        pooled: one for each of `LEVELS`, over the map averaged to a 2x2 grid.
        local: over single places of the map `LOCAL_LEVEL`, wherever they lie.
    """

    pixels: FeatureDistance
    pooled: tuple[FeatureDistance, ...]
    local: FeatureDistance

    @classmethod
    def fit(
        cls, pixels: np.ndarray, pooled: Sequence[np.ndarray], local: np.ndarray, seed: int
    ) -> "FeatureDistances":
        """Fits to normal TRAINING images.

        Args:
            pixels: `averaged_pixels`, float32 [N, D].
            pooled: `grid_features`, float32 [N, D] for each level.
            local: rows of `place_features`, float32 [M, c].
            seed: of the k-means.
        """
        return cls(
            FeatureDistance.fit(pixels, seed, shrinkage=PIXEL_SHRINKAGE),
            tuple(FeatureDistance.fit(features, seed) for features in pooled),
            FeatureDistance.fit(local, seed),
        )

    def of_pixels(self, images: tf.Tensor) -> tf.Tensor:
        """Distance of each image, float [N, S, S, C] in [-1, 1] to float32 [N]."""
        return self.pixels(averaged_pixels(images))

    def of_images(self, maps: Sequence[tf.Tensor]) -> tf.Tensor:
        """Geometric mean over the levels' distances, float32 [N], from the encoder's maps."""
        distances = [
            tf.math.log(distance(features))
            for distance, features in zip(self.pooled, grid_features(maps), strict=True)
        ]
        return tf.exp(tf.add_n(distances) / len(distances))

    def of_places(self, maps: Sequence[tf.Tensor]) -> tf.Tensor:
        """Distance of each place of the map `LOCAL_LEVEL`, float32 [N, h, w]."""
        features = place_features(maps)
        _, height, width, channels = features.shape
        flat = self.local(tf.reshape(features, [-1, channels]))
        return tf.reshape(flat, [-1, height, width])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Plain arrays for `np.savez`."""
        named = {"pixels": self.pixels, "local": self.local}
        named |= {f"pooled{number}": distance for number, distance in enumerate(self.pooled)}
        return {
            f"{name}.{field}": np.asarray(value)
            for name, distance in named.items()
            for field, value in dataclasses.asdict(distance).items()
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "FeatureDistances":
        """The inverse of `to_arrays`.

        Raises:
            KeyError: if an array is missing.
        """

        def distance(name: str) -> FeatureDistance:
            fields = dataclasses.fields(FeatureDistance)
            values: dict[str, Any] = {
                field.name: arrays[f"{name}.{field.name}"] for field in fields
            }
            return FeatureDistance(**{**values, "nearest": int(values["nearest"])})

        pooled = tuple(distance(f"pooled{number}") for number in range(len(LEVELS)))
        return cls(distance("pixels"), pooled, distance("local"))


def averaged_pixels(images: tf.Tensor) -> tf.Tensor:
    """Images [N, S, S, C] averaged to the pixel grid, float32 [N, PIXEL_GRID^2 * C]."""
    return pool_features(images, PIXEL_GRID)


def grid_features(maps: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The encoder's maps averaged to a 2x2 grid, float32 [N, 4c] for each of `LEVELS`."""
    return [pool_features(maps[level]) for level in LEVELS]


def place_features(maps: Sequence[tf.Tensor]) -> tf.Tensor:
    """The map `LOCAL_LEVEL`, each place averaged with its neighbours, float32 [N, h, w, c].

    Source: Roth et al., *Towards Total Recall in Industrial Anomaly Detection*, CVPR 2022, 3.1.
    """
    return tf.nn.avg_pool2d(tf.cast(maps[LOCAL_LEVEL], tf.float32), 3, 1, "SAME")


def largest_mean(places: tf.Tensor, share: float) -> tf.Tensor:
    """Mean over the share of an image's places that is most unusual, [N, h, w] to float32 [N]."""
    count = places.shape[1] * places.shape[2]
    largest = max(1, round(share * count))
    flat = tf.reshape(places, [-1, count])
    return tf.reduce_mean(tf.math.top_k(flat, largest, sorted=False).values, axis=1)
