"""Groups of anomalies. Training draws evenly from them, so that no kind dominates."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from ganad_tf.data.image_view import ImageView

# Longest side in pixels of the images that are clustered. Outline and brightness tell kinds apart;
# details do not, and fewer pixels cost less.
_SIDE = 16
# Images read into memory at a time.
_CHUNK = 1024
# The number of kinds of anomalies in the paper's data.
MAX_CLUSTERS = 9
# With fewer images, each of two clusters would hold three or fewer, too few for a silhouette to
# show whether they differ.
MIN_IMAGES = 8
# The silhouette compares every image with every other: 2000 x 2000 distances take 32 MB.
MAX_COMPARED = 2000


@dataclass(frozen=True, eq=False)
class Groups:
    """The group of each anomaly, and how the number of groups was found.

    Args:
        numbers: int64 [N], the group of each anomaly, numbered from 0 without gaps.
        silhouette: number of clusters -> mean silhouette, in [-1, 1], higher is better; for each
            number that was tried. Empty if the number of clusters was given.
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
        groups = f"{self.count} group{'s' if self.count != 1 else ''} of anomalies"
        if not self.silhouette:
            return groups
        tried = ", ".join(f"{k}: {value:.2f}" for k, value in self.silhouette.items())
        return f"{groups} by silhouette ({tried})"


def find_groups(
    images: np.ndarray | ImageView,
    kinds: np.ndarray,
    how: str = "kmeans",
    k: int | None = 9,
    seed: int = 0,
) -> Groups:
    """Assigns each anomaly to a group.

    Args:
        images: uint8 [N, H, W, C], the anomalies; read 1024 at a time.
        kinds: int64 [N], their kinds.
        how: `kmeans`, clusters of reduced pixels, which needs no labels of kinds (Kim et al.
            2020), or `kind`, one group per kind.
        k: the number of clusters; fewer if there are fewer images. None for the number with the
            highest mean silhouette (Rousseeuw 1987), at most 9 and at most half of the images.
            With fewer than 8 images it is 1. A number that leaves a cluster with a single image is
            not considered: an outlier is not a kind.
        seed: of the clustering.

    Raises:
        ValueError: if `how` is neither of the two.
    """
    if how not in ("kmeans", "kind"):
        raise ValueError(f"how must be kmeans or kind. Received: {how!r}")
    scores: dict[int, float] = {}
    if how == "kind" or not len(images):
        groups = kinds
    # One thread keeps the order of sums, so results repeat. On a busy machine it is also ten times
    # faster than two.
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
    """The clusters with the highest mean silhouette, and the silhouette of each number tried."""
    best = np.zeros(len(points), np.int64)
    scores: dict[int, float] = {}
    if len(points) < MIN_IMAGES:
        return best, scores
    rng = np.random.default_rng(seed)
    some = points
    if len(points) > MAX_COMPARED:
        some = points[np.sort(rng.choice(len(points), MAX_COMPARED, replace=False))]
    distinct = len(np.unique(some, axis=0))
    for k in range(2, min(MAX_CLUSTERS, len(some) // 2, distinct) + 1):
        means = KMeans(k, random_state=seed, n_init=4).fit(some)
        if np.bincount(means.labels_, minlength=k).min() < 2:
            continue
        score = float(silhouette_score(some, means.labels_))
        if score > max(scores.values(), default=-1):
            best = means.predict(points)
        scores[k] = score
    return best, scores


def _reduced(images: np.ndarray | ImageView) -> np.ndarray:
    """Averages blocks of pixels until no side is longer than 16: float32 [N, D]."""
    _, height, width, channels = images.shape
    high, wide = -(-height // _SIDE), -(-width // _SIDE)
    rows, columns = height // high, width // wide
    parts = []
    for start in range(0, len(images), _CHUNK):
        part = images[start : start + _CHUNK, : rows * high, : columns * wide]
        blocks = part.reshape(-1, rows, high, columns, wide, channels)
        parts.append(blocks.mean(axis=(2, 4), dtype=np.float32).reshape(len(part), -1))
    return np.concatenate(parts)
