"""What is measured on images: the components of every score, and the maps."""

import dataclasses
from collections.abc import Collection

import tensorflow as tf

from ganad_tf import losses
from ganad_tf.losses import Patches
from ganad_tf.networks import Generator
from ganad_tf.preprocessing import enlarge, to_image, to_network, to_pixels
from ganad_tf.scoring.encoder_features import EncoderFeatures
from ganad_tf.scoring.feature_distance import TOP_SHARE, FeatureDistances, largest_mean
from ganad_tf.settings.names import (
    CLASSIFIER,
    FEATURES,
    GENERATOR_COMPONENTS,
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
        maps: float32 [N, h, w] on the image's own pixels, by the component that they stand for:
            `max_error` is |x - G(x)|, smoothed; the others are distances of places, measured if
            their component was wanted.
        reconstruction: uint8 [N, h, w, C].
    """

    values: dict[str, tf.Tensor]
    maps: dict[str, tf.Tensor]
    reconstruction: tf.Tensor


def enlarge_places(places: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Distances of places, float32 [N, p, q], on the image's own pixels, [N, height, width]."""
    return tf.image.resize(places[..., None], (height, width))[..., 0]


@dataclasses.dataclass(frozen=True)
class Measurer:
    """Measures images; one definition for fitting, evaluation and export.

    Args:
        generator: trained, float32.
        distances: of the generator's features, fitted on normal training images.
        encoder: the pretrained encoder with what was fitted to its features; None without one.
    """

    generator: Generator
    distances: FeatureDistances
    encoder: EncoderFeatures | None = None

    @property
    def components(self) -> tuple[str, ...]:
        """The components that can be measured."""
        if self.encoder is None:
            return GENERATOR_COMPONENTS
        return (*GENERATOR_COMPONENTS, *self.encoder.components)

    def __call__(self, images: tf.Tensor, wanted: Collection[str]) -> Measurement:
        """Measures a batch; no result depends on its other images.

        Args:
            images: uint8 [N, h, w, C].
            wanted: components to measure; expensive ones are skipped unless requested.
        """
        generator = self.generator
        height, width = images.shape[1], images.shape[2]
        x = to_network(images, generator.image_size)
        maps = generator.encoder_maps(x, training=False)
        reconstruction, logit = generator.decode(maps, training=False)
        errors = losses.pixel_errors(x, reconstruction)
        smoothed = losses.smoothed_errors(errors)
        patches = Patches.for_image_size(generator.image_size)
        values = {
            RECONSTRUCTION: losses.mean_error(errors),
            PATCH: losses.largest_patch_error(errors, patches),
            MAX_ERROR: tf.reduce_max(smoothed, axis=[1, 2]),
            CLASSIFIER: losses.classifier_error(logit),
        }
        found = {MAX_ERROR: to_image(smoothed, height, width)}
        if PIXELS in wanted:
            values[PIXELS] = self.distances.of_pixels(x)
        if FEATURES in wanted:
            values[FEATURES] = self.distances.of_images(maps)
        if PATCH_FEATURES in wanted:
            places = self.distances.of_places(maps)
            values[PATCH_FEATURES] = largest_mean(places, TOP_SHARE)
            found[PATCH_FEATURES] = to_image(enlarge(places, generator.image_size), height, width)
        if self.encoder is not None and set(self.encoder.components) & set(wanted):
            more, seen = self.encoder.measure(images, wanted)
            values |= more
            for name, places in seen.items():
                found[name] = enlarge_places(places, height, width)
        pixels = to_pixels(to_image(reconstruction, height, width))
        return Measurement(values, found, pixels)
