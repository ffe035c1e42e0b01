"""Makes a detector of a trained generator: fits the feature distances, the scorer and the maps."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.networks import Generator
from ganad_tf.plan import Plan
from ganad_tf.preprocessing import to_network
from ganad_tf.scoring.detector import Detector
from ganad_tf.scoring.feature_distance import (
    LOCAL_LEVEL,
    FeatureDistances,
    averaged_pixels,
    local_features,
    pooled_features,
)
from ganad_tf.scoring.fit_scorer import fit_scorer
from ganad_tf.scoring.measure import measure
from ganad_tf.scoring.scorer import MapScales

# Of the pixels of normal validation images, this share lies below a map value of 1.
MAP_QUANTILE = 0.999
# Limits of what is fitted on: normal training images, places in them, and pixels of normal
# validation images. More would cost memory and change little.
MAX_NORMALS = 10_000
MAX_PLACES = 50_000
MAX_PIXELS = 10_000_000
BATCH = 256


def fit_detector(generator: Generator, splits: Splits, plan: Plan) -> Detector:
    """Fits the feature distances on normal TRAINING images, everything else on VALIDATION images.

    Args:
        generator: the trained (averaged) generator, float32.
        splits: its training images, and validation images it was not trained on.
        plan: of the run.

    Raises:
        DataError: if a part has no normal images.
        UsageError: if the false-alarm rate cannot be promised with so few images.
    """
    train, validation = splits.train, splits.validation
    normals = np.flatnonzero(~train.is_anomaly)
    if len(normals) > MAX_NORMALS:
        normals = np.random.default_rng(plan.seed).choice(normals, MAX_NORMALS, replace=False)
    distances = _fit_distances(generator, train.images, np.sort(normals), plan.seed)

    def values(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return measure(generator, images, distances).values

    kept = _map_batches(values, validation.images, np.arange(len(validation)))
    scales = _fit_map_scales(generator, distances, validation)
    scorer = fit_scorer(kept, validation.is_anomaly, scales, plan)
    image_shape = tuple(validation.images.shape[1:])
    return Detector(generator, distances, scorer, image_shape, splits.resize)


def _fit_map_scales(
    generator: Generator, distances: FeatureDistances, validation: LabelledImages
) -> MapScales:
    """Quantiles over the pixels of normal validation images."""

    def maps(images: tf.Tensor) -> dict[str, tf.Tensor]:
        measured = measure(generator, images, distances)
        return {"error": measured.errors, "distance": measured.distances}

    pixels_each = validation.images.shape[1] * validation.images.shape[2]
    some = np.flatnonzero(~validation.is_anomaly)[: MAX_PIXELS // pixels_each]
    pixels = _map_batches(maps, validation.images, some)
    return MapScales(
        float(np.quantile(pixels["error"], MAP_QUANTILE)),
        float(np.quantile(pixels["distance"], MAP_QUANTILE)),
        float(np.median(pixels["distance"])),
    )


def _fit_distances(
    generator: Generator, images: np.ndarray, indices: np.ndarray, seed: int
) -> FeatureDistances:
    """Fits to the normal training images at `indices`, and to at most `MAX_PLACES` places."""

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
    count = min(len(indices), max(1, MAX_PLACES // per_image))
    some = np.sort(rng.choice(indices, count, replace=False))
    local = _map_batches(places, images, some)["local"]
    pixels = features.pop("pixels")
    local = local.reshape(-1, local.shape[-1])
    return FeatureDistances.fit(pixels, list(features.values()), local, seed)


def _map_batches(
    function: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    images: np.ndarray,
    indices: np.ndarray,
) -> dict[str, np.ndarray]:
    """Runs a function of uint8 batches over the images at `indices`."""
    run = tf.function(
        function, input_signature=[tf.TensorSpec((None, *images.shape[1:]), tf.uint8)]
    )
    parts = [
        {name: value.numpy() for name, value in run(images[indices[i : i + BATCH]]).items()}
        for i in range(0, len(indices), BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
