"""Makes a detector of a trained generator: fits distance, scorer and threshold."""

import numpy as np
import tensorflow as tf

from ganad_tf.data.images import LabelledImages
from ganad_tf.networks import Generator
from ganad_tf.preprocessing import to_network
from ganad_tf.scoring.detector import Detector, measure
from ganad_tf.scoring.feature_distance import (
    LOCAL_LEVEL,
    FeatureDistances,
    averaged_pixels,
    local_features,
    pooled_features,
)
from ganad_tf.scoring.fit_scorer import fit_scorer
from ganad_tf.scoring.scorer import NOVELTY, MapScales

MAP_QUANTILE = 0.999
# What the feature distances and the maps' scales are fitted on, at most: normal training images,
# places in them, pixels of normal validation images.
MOST_NORMALS = 10_000
MOST_PLACES = 50_000
MOST_PIXELS = 10_000_000
BATCH = 256


def fit_detector(
    generator: Generator,
    train: LabelledImages,
    validation: LabelledImages,
    score: str = "auto",
    max_false_alarms: float | None = None,
    seed: int = 0,
    all_kinds_known: bool = True,
    uncompared: str = NOVELTY,
    head_trained: bool = True,
    image_fit: str = "stretch",
) -> Detector:
    """Fits the feature distance on normal training images, everything else on validation.

    Args:
        generator: the trained (averaged) generator, float32.
        train: its training images.
        validation: images it was not trained on.
        score: see `fit_scorer`.
        max_false_alarms: see `fit_scorer`.
        seed: of the k-means and the draw of training images.
        all_kinds_known, uncompared, head_trained: see `fit_scorer`.
        image_fit: `fit` of `Detector`: how the images came to their shape.

    Raises:
        DataError: if a split has no normal images.
        UsageError: if the false-alarm rate cannot be promised with so few images.
    """
    normals = np.flatnonzero(~train.is_anomaly)
    if len(normals) > MOST_NORMALS:
        normals = np.random.default_rng(seed).choice(normals, MOST_NORMALS, replace=False)
    distances = _fit_distances(generator, train.images, np.sort(normals), seed)

    def values(images):
        return measure(generator, images, distances).values

    def maps(images):
        measured = measure(generator, images, distances)
        return {"error": measured.errors, "distance": measured.distances}

    kept = _map_batches(values, validation.images, np.arange(len(validation)))
    pixels_each = validation.images.shape[1] * validation.images.shape[2]
    some = np.flatnonzero(~validation.is_anomaly)[: MOST_PIXELS // pixels_each]
    pixels = _map_batches(maps, validation.images, some)
    scales = MapScales(
        float(np.quantile(pixels["error"], MAP_QUANTILE)),
        float(np.quantile(pixels["distance"], MAP_QUANTILE)),
        float(np.median(pixels["distance"])),
    )
    scorer = fit_scorer(
        kept,
        validation.is_anomaly,
        scales,
        score,
        max_false_alarms,
        all_kinds_known,
        uncompared,
        head_trained,
    )
    return Detector(generator, distances, scorer, validation.images.shape[1:], image_fit)


def _fit_distances(generator, images, indices, seed) -> FeatureDistances:
    """Fits to the normal training images; of places in them, to as many as fit in memory."""

    def pooled(batch):
        x = to_network(batch, generator.image_size)
        maps = generator.encoder_maps(x, training=False)
        levels = {str(level): features for level, features in enumerate(pooled_features(maps))}
        return {"pixels": averaged_pixels(x), **levels}

    def places(batch):
        maps = generator.encoder_maps(to_network(batch, generator.image_size), training=False)
        return {"local": local_features(maps)}

    features = _map_batches(pooled, images, indices)
    rng = np.random.default_rng(seed)
    per_image = (generator.image_size // 2 ** (LOCAL_LEVEL + 1)) ** 2
    count = min(len(indices), max(1, MOST_PLACES // per_image))
    some = np.sort(rng.choice(indices, count, replace=False))
    local = _map_batches(places, images, some)["local"]
    pixels = features.pop("pixels")
    local = local.reshape(-1, local.shape[-1])
    return FeatureDistances.fit(pixels, list(features.values()), local, seed)


def _map_batches(function, images, indices) -> dict[str, np.ndarray]:
    """Runs a function of uint8 batches over chosen images."""
    run = tf.function(
        function, input_signature=[tf.TensorSpec((None, *images.shape[1:]), tf.uint8)]
    )
    parts = [
        {name: value.numpy() for name, value in run(images[indices[i : i + BATCH]]).items()}
        for i in range(0, len(indices), BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
