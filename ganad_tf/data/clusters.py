"""Groups of anomalies that training draws from evenly, so that no kind drowns another."""

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits

# Clusters of silhouettes and shades need no detail; fewer pixels cost less.
_SIDE = 16


def assign_groups(
    images: np.ndarray, kinds: np.ndarray, how: str = "kmeans", k: int = 9, seed: int = 0
) -> np.ndarray:
    """Assigns each anomaly to a group.

    Args:
        images: uint8 [N, H, W, C], the anomalies.
        kinds: int64 [N], their kinds.
        how: `kmeans`, clusters of (reduced) pixels, needs no labels of kinds (Kim et al. 2020);
            `kind`, one group per kind.
        k: the number of clusters; fewer where there are fewer images.
        seed: of the clusters.

    Returns:
        int64 [N], groups numbered from 0 without gaps.
    """
    if not len(images):
        return np.zeros(0, np.int64)
    if how == "kind":
        groups = kinds
    elif how == "kmeans":
        points = _reduced(images)
        means = MiniBatchKMeans(
            min(k, len(points)),
            random_state=seed,
            n_init=1,
            batch_size=4096,
            max_iter=5,
            max_no_improvement=None,
        )
        # One thread: sums keep their order, and on a busy machine it is ten times faster than two.
        with threadpool_limits(1):
            groups = means.fit_predict(points)
    else:
        raise ValueError(f"how must be kmeans or kind. Received: {how!r}")
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _reduced(images: np.ndarray) -> np.ndarray:
    """Averages blocks of pixels until no side is longer than 16: float32 [N, D]."""
    count, height, width, channels = images.shape
    high, wide = -(-height // _SIDE), -(-width // _SIDE)
    rows, columns = height // high, width // wide
    blocks = images[:, : rows * high, : columns * wide].reshape(
        count, rows, high, columns, wide, channels
    )
    return blocks.mean(axis=(2, 4), dtype=np.float32).reshape(count, -1)
