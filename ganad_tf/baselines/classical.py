"""Scikit-learn's anomaly detectors on pixels. They learn from normal images only."""

from collections.abc import Callable

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.svm import OneClassSVM

# (normal training images [N, D], test images [M, D], seed) -> anomaly scores [M].
Method = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def nearest_neighbours(normal: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Mean distance to the 3 nearest normal images."""
    nearest = NearestNeighbors(n_neighbors=min(3, len(normal))).fit(normal)
    return nearest.kneighbors(test)[0].mean(axis=1)


def principal_components(normal: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Squared reconstruction error from 16 principal components."""
    pca = PCA(16, random_state=seed).fit(normal)
    return ((test - pca.inverse_transform(pca.transform(test))) ** 2).mean(axis=1)


def isolation_forest(normal: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Isolation forest of 300 trees."""
    return -IsolationForest(n_estimators=300, random_state=seed).fit(normal).score_samples(test)


def one_class_svm(normal: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """One-class support vector machine on 50 whitened principal components."""
    machine = make_pipeline(PCA(50, whiten=True, random_state=seed), OneClassSVM(nu=0.1))
    return -machine.fit(normal).score_samples(test)


CLASSICAL: dict[str, Method] = {
    "knn": nearest_neighbours,
    "pca": principal_components,
    "iforest": isolation_forest,
    "ocsvm": one_class_svm,
}


def pixels(images: np.ndarray) -> np.ndarray:
    """uint8 [N, h, w, C] to float32 [N, D] in [0, 1]."""
    return images.reshape(len(images), -1).astype(np.float32) / 255
