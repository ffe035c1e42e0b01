"""What is measured on images: the components of every score, and the maps."""

import dataclasses
from collections.abc import Collection

import tensorflow as tf

from ganad_tf import losses
from ganad_tf.losses import Patches
from ganad_tf.networks import Generator
from ganad_tf.preprocessing import enlarge, to_image, to_network, to_pixels
from ganad_tf.scoring.feature_distance import FeatureDistances, largest_distances
from ganad_tf.settings.names import (
    CLASSIFIER,
    COMPONENTS,
    FEATURES,
    MAX_ERROR,
    PATCH,
    PATCH_FEATURES,
    PIXELS,
    RECONSTRUCTION,
)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Measurements of a batch of images, before they are scored.

    Args:
        values: each component's value per image, float32 [N].
        errors: |x - G(x)|, smoothed, on the image's own pixels, float32 [N, h, w].
        distances: the local feature distance on the image's own pixels, float32 [N, h, w]; None
            if it was not asked for.
        reconstruction: uint8 [N, h, w, C].
    """

    values: dict[str, tf.Tensor]
    errors: tf.Tensor
    distances: tf.Tensor | None
    reconstruction: tf.Tensor


def measure(
    generator: Generator,
    images: tf.Tensor,
    feature_distances: FeatureDistances,
    wanted: Collection[str] = COMPONENTS,
) -> Measurement:
    """Measures uint8 images [N, h, w, C]; no result depends on the other images of the batch.

    Args:
        generator: trained, float32.
        images: uint8 [N, h, w, C].
        feature_distances: fitted on normal training images.
        wanted: components to measure; expensive ones are skipped unless requested.
    """
    height, width = images.shape[1], images.shape[2]
    x = to_network(images, generator.image_size)
    maps = generator.encoder_maps(x, training=False)
    reconstruction, logit = generator.decode(maps, training=False)
    errors = losses.pixel_errors(x, reconstruction)
    smoothed = losses.smoothed_errors(errors)
    values = {
        RECONSTRUCTION: losses.mean_error(errors),
        PATCH: losses.largest_patch_error(errors, Patches.for_image_size(generator.image_size)),
        MAX_ERROR: tf.reduce_max(smoothed, axis=[1, 2]),
        CLASSIFIER: losses.classifier_error(logit),
    }
    distances = None
    if PIXELS in wanted:
        values[PIXELS] = feature_distances.of_pixels(x)
    if FEATURES in wanted:
        values[FEATURES] = feature_distances.of_images(maps)
    if PATCH_FEATURES in wanted:
        places = feature_distances.of_places(maps)
        values[PATCH_FEATURES] = largest_distances(places)
        distances = to_image(enlarge(places, generator.image_size), height, width)
    return Measurement(
        values,
        to_image(smoothed, height, width),
        distances,
        to_pixels(to_image(reconstruction, height, width)),
    )
