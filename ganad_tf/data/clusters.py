"""Groups of anomalies that training draws from evenly, so that no kind drowns another."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from ganad_tf.data.image_view import Rows

# Clusters of silhouettes and shades need no detail; fewer pixels cost less.
_SIDE = 16
# Images in memory at a time, however many there are.
_AT_ONCE = 1024
# As many clusters as the paper's data has kinds of anomalies; fewer images than eight tell nothing
# about their own number of kinds.
MOST_CLUSTERS, LEAST_IMAGES = 9, 8
# Silhouettes compare every image with every other one.
MOST_COMPARED = 2000


@dataclass(frozen=True, eq=False)
class Groups:
    """Which anomaly is in which group, and how their number was found.

    Args:
        numbers: int64 [N], groups numbered from 0 without gaps.
        silhouette: the mean silhouette for each number of clusters that was tried, in [-1, 1],
            higher is better; empty if the number was given.
    """

    numbers: np.ndarray
    silhouette: dict[int, float]

    @property
    def count(self) -> int:
        """The number of groups."""
        return int(self.numbers.max()) + 1 if len(self.numbers) else 0

    def to_dict(self) -> dict[str, Any]:
        """For metrics.json: `k`, `sizes` and `silhouette`."""
        return {
            "k": self.count,
            "sizes": np.bincount(self.numbers).tolist(),
            "silhouette": {str(k): round(value, 4) for k, value in self.silhouette.items()},
        }

    def __str__(self) -> str:
        if not self.silhouette:
            return f"{self.count} groups of anomalies"
        tried = ", ".join(f"{k}: {value:.2f}" for k, value in self.silhouette.items())
        return f"{self.count} groups of anomalies by silhouette ({tried})"


def find_groups(
    images: np.ndarray | Rows,
    kinds: np.ndarray,
    how: str = "kmeans",
    k: int | None = 9,
    seed: int = 0,
) -> Groups:
    """Assigns each anomaly to a group.

    Args:
        images: uint8 [N, H, W, C], the anomalies; read a few at a time.
        kinds: int64 [N], their kinds.
        how: `kmeans`, clusters of (reduced) pixels, needs no labels of kinds (Kim et al. 2020);
            `kind`, one group per kind.
        k: the number of clusters; fewer where there are fewer images. None for the number with
            the highest mean silhouette (Rousseeuw 1987), at most 9 and half of the images; below
            8 images it is 1. Numbers that make a cluster of one image are left out: an outlier is
            no kind.
        seed: of the clusters.
    """
    if how not in ("kmeans", "kind"):
        raise ValueError(f"how must be kmeans or kind. Received: {how!r}")
    scores: dict[int, float] = {}
    if how == "kind" or not len(images):
        groups = kinds
    # One thread: sums keep their order, and on a busy machine it is ten times faster than two.
    elif k is None:
        with threadpool_limits(1):
            groups, scores = _by_silhouette(_reduced(images), seed)
    else:
        points = _reduced(images)
        means = MiniBatchKMeans(
            min(k, len(points)),
            random_state=seed,
            n_init=1,
            batch_size=4096,
            max_iter=5,
            max_no_improvement=None,
        )
        with threadpool_limits(1):
            groups = means.fit_predict(points)
    return Groups(np.unique(groups, return_inverse=True)[1].astype(np.int64), scores)


def _by_silhouette(points: np.ndarray, seed: int) -> tuple[np.ndarray, dict[int, float]]:
    """The clusters with the highest mean silhouette, and the silhouettes by number of clusters."""
    best, scores = np.zeros(len(points), np.int64), {}
    if len(points) < LEAST_IMAGES:
        return best, scores
    rng = np.random.default_rng(seed)
    some = points
    if len(points) > MOST_COMPARED:
        some = points[np.sort(rng.choice(len(points), MOST_COMPARED, replace=False))]
    different = len(np.unique(some, axis=0))
    for k in range(2, min(MOST_CLUSTERS, len(some) // 2, different) + 1):
        means = KMeans(k, random_state=seed, n_init=4).fit(some)
        if np.bincount(means.labels_, minlength=k).min() < 2:
            continue
        score = float(silhouette_score(some, means.labels_))
        if score > max(scores.values(), default=-1):
            best = means.predict(points)
        scores[k] = score
    return best, scores


def _reduced(images: np.ndarray | Rows) -> np.ndarray:
    """Averages blocks of pixels until no side is longer than 16: float32 [N, D]."""
    _, height, width, channels = images.shape
    high, wide = -(-height // _SIDE), -(-width // _SIDE)
    rows, columns = height // high, width // wide
    parts = []
    for start in range(0, len(images), _AT_ONCE):
        part = images[start : start + _AT_ONCE, : rows * high, : columns * wide]
        blocks = part.reshape(-1, rows, high, columns, wide, channels)
        parts.append(blocks.mean(axis=(2, 4), dtype=np.float32).reshape(len(part), -1))
    return np.concatenate(parts)
