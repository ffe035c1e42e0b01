"""Fits what is measured by a frozen encoder to the training images."""

import numpy as np
import tensorflow as tf

from ganad_tf.data.images import LabelledImages
from ganad_tf.networks import EfficientNetLite0
from ganad_tf.preprocessing import to_encoder
from ganad_tf.scoring.encoder_features import (
    LOCAL_PROTOTYPES,
    LOCAL_RANK,
    LOCAL_SHRINKAGE,
    POOLED_SHRINKAGE,
    Direction,
    EncoderFeatures,
    Whitening,
    direction_features,
    local_features,
    pooled_features,
)
from ganad_tf.scoring.map_batches import map_batches

# Limits of what is fitted on: places of normal images, and images whose places are read.
MAX_PLACES, MAX_PLACE_IMAGES = 40_000, 400
BATCH = 32


def fit_encoder_features(
    encoder: EfficientNetLite0,
    train: LabelledImages,
    normals: np.ndarray,
    image_size: int,
    seed: int,
) -> EncoderFeatures:
    """Fits the distances to normal images, and the direction to the labelled anomalies.

    Args:
        encoder: frozen.
        train: TRAINING images.
        normals: int [n], the normal ones to fit to.
        image_size: E, the square that the encoder sees.
        seed: of the draw of prototypes.
    """

    def pooled(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        maps = encoder.feature_maps(to_encoder(batch, image_size))
        return {"pooled": pooled_features(maps), "means": direction_features(maps)}

    def places(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"places": local_features(encoder.feature_maps(to_encoder(batch, image_size)))}

    rng = np.random.default_rng(seed)
    normal = map_batches(pooled, train.images, normals, BATCH)
    anomalies = np.flatnonzero(train.is_anomaly)
    direction = None
    if len(anomalies):
        anomalous = map_batches(pooled, train.images, anomalies, BATCH)
        direction = Direction.fit(normal["means"], anomalous["means"])
    count = min(len(normals), MAX_PLACE_IMAGES)
    some = np.sort(rng.choice(normals, count, replace=False))
    local = map_batches(places, train.images, some, BATCH)["places"]
    local = local.reshape(-1, local.shape[-1])
    if len(local) > MAX_PLACES:
        local = local[np.sort(rng.choice(len(local), MAX_PLACES, replace=False))]
    local_whitening = Whitening.fit(local, LOCAL_SHRINKAGE, LOCAL_RANK)
    kept = np.sort(rng.choice(len(local), min(LOCAL_PROTOTYPES, len(local)), replace=False))
    return EncoderFeatures(
        encoder,
        image_size,
        Whitening.fit(normal["pooled"], POOLED_SHRINKAGE),
        local_whitening,
        local_whitening(local[kept]).astype(np.float32),
        direction,
    )
