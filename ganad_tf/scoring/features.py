"""Distance of an image's bottleneck features E(x) to those of normal training images."""

import dataclasses

import numpy as np
import tensorflow as tf
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits


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
        prototypes: int = 256,
        nearest: int = 3,
    ) -> "FeatureDistance":
        """Fits to the pooled features of normal TRAINING images.

        Args:
            features: float32 [N, D].
            seed: of the k-means.
            rank, prototypes, nearest: upper limits; fewer where there are fewer images.
        """
        features = features.astype(np.float64)
        # A direction needs several images to tell its variance from chance.
        rank = max(1, min(rank, features.shape[1], len(features) // 4))
        pca = PCA(rank, random_state=seed).fit(features)
        # Shrinking towards the mean variance keeps directions of almost no variance from ruling.
        variance = pca.explained_variance_ + 0.1 * pca.explained_variance_.mean() + 1e-12
        projection = pca.components_.T / np.sqrt(variance)
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
        """Distance of each image, [N, D] to float32 [N]; depends on that image alone."""
        projected = tf.matmul(features - self.mean, self.projection)
        squares = (
            tf.reduce_sum(projected**2, axis=1, keepdims=True)
            - 2 * tf.matmul(projected, self.prototypes, transpose_b=True)
            + np.sum(self.prototypes**2, axis=1)
        )
        distances = tf.sqrt(tf.maximum(squares, 1e-12))
        nearest = -tf.math.top_k(-distances, self.nearest, sorted=False).values
        return tf.reduce_mean(nearest, axis=1)
