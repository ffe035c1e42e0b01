"""Scores from frozen ImageNet features: how unusual an image and its places are.

Three parts, all fitted in closed form: the Mahalanobis distance of pooled features to the normal
training images (Rippel et al., *Modeling the Distribution of Normal Data in Pre-Trained Deep
Features for Anomaly Detection*, ICPR 2020), the distance of single places to normal places (Roth et
al., *Towards Total Recall in Industrial Anomaly Detection*, CVPR 2022), and the direction from the
normal images to the labelled anomalies (see `label_direction`).
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ganad_tf.networks import EfficientNetLite0
from ganad_tf.preprocessing import to_encoder
from ganad_tf.scoring.feature_distance import largest_mean, nearest_distances
from ganad_tf.scoring.label_direction import MIN_DEVIATION, Direction
from ganad_tf.settings.names import (
    ENCODER_COMPONENTS,
    ENCODER_DETAILS,
    ENCODER_FEATURES,
    ENCODER_PATCHES,
    LABEL_DIRECTION,
)

# Of `FEATURE_MAPS`: those pooled for the distance, those whose places are compared with normal
# ones, the one that shows details, and those pooled for the direction to a few labels. Chosen on
# ELPV, splits 10 to 12, and on the textures of benchmarks.texture_data.
POOLED_LEVELS, LOCAL_LEVELS, DETAIL_LEVEL, DIRECTION_LEVELS = (1, 2, 4), (2, 4), 0, (2, 3)
# Share of the identity in each correlation matrix; without it, directions of almost no variance
# would dominate. Chosen on the same splits.
POOLED_SHRINKAGE, LOCAL_SHRINKAGE = 0.1, 0.1
# An image's local distance is the mean over this share of its places, the most unusual ones.
TOP_PATCHES, TOP_DETAILS = 0.1, 0.03
LOCAL_RANK, LOCAL_PROTOTYPES, NEAREST = 192, 2000, 3
# In deviations of normal training images. The ratio of two such exponentials is still a float32.
MAX_EXPONENT = 30.0
# What the encoder gives for an image; see `EncoderFeatures.see`.
POOLED, MEANS, PATCHES, DETAILS = "pooled", "means", "patches", "details"
UNLABELLED_COMPONENTS = (ENCODER_FEATURES, ENCODER_PATCHES, ENCODER_DETAILS)


@dataclasses.dataclass(frozen=True)
class Whitening:
    """A linear map to coordinates in which normal features vary alike.

    Args:
        mean: [D], subtracted first.
        projection: [D, R].
    """

    mean: np.ndarray
    projection: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, shrinkage: float, rank: int | None = None) -> "Whitening":
        """Fits to features of normal TRAINING images.

        Args:
            features: float32 [N, D].
            shrinkage: share of the identity in the correlation matrix, in (0, 1].
            rank: how many directions are kept, those of the largest variance; None for all.
        """
        features = features.astype(np.float64)
        mean = features.mean(axis=0)
        deviation = features.std(axis=0) + MIN_DEVIATION
        scaled = (features - mean) / deviation
        correlation = scaled.T @ scaled / len(scaled)
        variances, directions = np.linalg.eigh(correlation)
        kept = slice(-min(rank or len(variances), len(variances)), None)
        variances = (1 - shrinkage) * np.maximum(variances[kept], 0) + shrinkage
        projection = directions[:, kept] / np.sqrt(variances) / deviation[:, None]
        return cls(mean.astype(np.float32), projection.astype(np.float32))

    def __call__(self, features: Any) -> Any:
        """[N, D] to [N, R]."""
        return (features - self.mean) @ self.projection


@dataclasses.dataclass(frozen=True)
class EncoderFeatures:
    """What is measured by a frozen encoder.

    Args:
        encoder: frozen, float32.
        image_size: E, the square that it sees; a multiple of 32.
        whole_size: the square at which it sees the image for the distance of the whole image.
        pooled: of the pooled features.
        local: of single places.
        prototypes: [K, R], places of normal training images, whitened.
        details: of single places of the finest map.
        direction: towards the labelled anomalies; None without any.
        usual: component -> [h, w], the mean distance of each place over normal training images, as
            a share of the mean of all places. Heat maps are divided by it, as borders and edges of
            aligned objects are always far from most places. Scores are not. Without a component,
            its places are all alike.
    """

    encoder: EfficientNetLite0
    image_size: int
    whole_size: int
    pooled: Whitening
    local: Whitening
    prototypes: np.ndarray
    details: Whitening
    direction: Direction | None
    usual: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def components(self) -> tuple[str, ...]:
        """The components that can be measured."""
        return ENCODER_COMPONENTS if self.direction is not None else UNLABELLED_COMPONENTS

    def measure(
        self, images: tf.Tensor, wanted: Collection[str]
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """The wanted components of a batch, and the maps that some of them are made of.

        Args:
            images: uint8 [N, h, w, C].
            wanted: components to measure.

        Returns:
            values: positive, float32 [N] each.
            places: component -> distances of places, over what is usual there, float32 [N, h, w].
        """
        return self.measure_features(self.see(images, wanted), wanted)

    def see(self, images: tf.Tensor, wanted: Collection[str]) -> dict[str, tf.Tensor]:
        """The encoder's features that the wanted components are measured by.

        Nothing in them depends on what was fitted.

        Args:
            images: uint8 [N, h, w, C].
            wanted: components to measure.

        Returns:
            What of `POOLED`, `MEANS`, `PATCHES` and `DETAILS` is needed, float32 [N, ...] each.
        """
        seen: dict[str, tf.Tensor] = {}
        maps = self.maps(images)
        direction = self.direction if LABEL_DIRECTION in wanted else None
        if ENCODER_FEATURES in wanted or (direction and direction.of_whole):
            seen[POOLED] = pooled_features(self.whole_maps(images, maps))
        if ENCODER_PATCHES in wanted:
            seen[PATCHES] = local_features(maps)
        if ENCODER_DETAILS in wanted:
            seen[DETAILS] = detail_features(maps)
        if direction and not direction.of_whole:
            seen[MEANS] = direction_features(maps)
        return seen

    def measure_features(
        self, seen: Mapping[str, tf.Tensor], wanted: Collection[str]
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """As `measure`, from what `see` gives."""
        values: dict[str, tf.Tensor] = {}
        places: dict[str, tf.Tensor] = {}
        direction = self.direction if LABEL_DIRECTION in wanted else None
        if ENCODER_FEATURES in wanted:
            values[ENCODER_FEATURES] = self.image_distance(seen[POOLED])
        if ENCODER_PATCHES in wanted:
            places[ENCODER_PATCHES] = self.place_distances(seen[PATCHES])
            values[ENCODER_PATCHES] = largest_mean(places[ENCODER_PATCHES], TOP_PATCHES)
        if ENCODER_DETAILS in wanted:
            places[ENCODER_DETAILS] = self.detail_distances(seen[DETAILS])
            values[ENCODER_DETAILS] = largest_mean(places[ENCODER_DETAILS], TOP_DETAILS)
        if direction:
            coordinate = direction(seen[POOLED if direction.of_whole else MEANS])
            # Scores are sums of logarithms, and this coordinate enters them as it is.
            values[LABEL_DIRECTION] = tf.exp(
                tf.clip_by_value(coordinate, -MAX_EXPONENT, MAX_EXPONENT)
            )
        return values, {name: self.unusual(name, distances) for name, distances in places.items()}

    def unusual(self, component: str, distances: tf.Tensor) -> tf.Tensor:
        """Distances of places, float32 [N, h, w], over what is usual at each place."""
        usual = self.usual.get(component)
        return distances if usual is None else distances / usual

    def maps(self, images: tf.Tensor) -> list[tf.Tensor]:
        """The encoder's maps of uint8 images [N, h, w, C]."""
        return self.encoder.feature_maps(to_encoder(images, self.image_size))

    def whole_maps(self, images: tf.Tensor, maps: list[tf.Tensor] | None = None) -> list[tf.Tensor]:
        """The same at the size for whole images; `maps`, if given, where both sizes are equal."""
        if maps is not None and self.whole_size == self.image_size:
            return maps
        return self.encoder.feature_maps(to_encoder(images, self.whole_size))

    def image_distance(self, pooled: tf.Tensor) -> tf.Tensor:
        """Mahalanobis distance of each image, float32 [N], of `pooled_features`."""
        return tf.norm(self.pooled(pooled), axis=1)

    def place_distances(self, features: tf.Tensor) -> tf.Tensor:
        """Distance of each place to normal places, float32 [N, h, w], of `local_features`."""
        _, height, width, channels = features.shape
        whitened = self.local(tf.reshape(features, [-1, channels]))
        flat = nearest_distances(whitened, self.prototypes, NEAREST)
        return tf.reshape(flat, [-1, height, width])

    def detail_distances(self, features: tf.Tensor) -> tf.Tensor:
        """Mahalanobis distance of each place, float32 [N, h, w], of `detail_features`."""
        _, height, width, channels = features.shape
        flat = tf.norm(self.details(tf.reshape(features, [-1, channels])), axis=1)
        return tf.reshape(flat, [-1, height, width])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Plain arrays for `np.savez`; the encoder is kept beside."""
        arrays = {
            "image_size": np.asarray(self.image_size),
            "whole_size": np.asarray(self.whole_size),
            "pooled.mean": self.pooled.mean,
            "pooled.projection": self.pooled.projection,
            "local.mean": self.local.mean,
            "local.projection": self.local.projection,
            "prototypes": self.prototypes,
            "details.mean": self.details.mean,
            "details.projection": self.details.projection,
        }
        arrays |= {f"usual.{component}": usual for component, usual in self.usual.items()}
        if self.direction is not None:
            own = self.direction.to_arrays()
            arrays |= {f"direction.{name}": value for name, value in own.items()}
        return arrays

    @classmethod
    def from_arrays(
        cls, encoder: EfficientNetLite0, arrays: Mapping[str, np.ndarray]
    ) -> "EncoderFeatures":
        """The inverse of `to_arrays`.

        Raises:
            KeyError: if an array is missing.
        """
        prefix = "direction."
        own = {n.removeprefix(prefix): arrays[n] for n in arrays if n.startswith(prefix)}
        direction = Direction.from_arrays(own) if own else None
        size = int(arrays["image_size"])
        return cls(
            encoder,
            size,
            # Earlier runs saw everything at one size.
            int(arrays["whole_size"]) if "whole_size" in arrays else size,
            Whitening(arrays["pooled.mean"], arrays["pooled.projection"]),
            Whitening(arrays["local.mean"], arrays["local.projection"]),
            arrays["prototypes"],
            Whitening(arrays["details.mean"], arrays["details.projection"]),
            direction,
            {
                name.removeprefix("usual."): arrays[name]
                for name in arrays
                if name.startswith("usual.")
            },
        )


def pooled_features(maps: Sequence[tf.Tensor]) -> tf.Tensor:
    """Mean and standard deviation of each channel over all places, float32 [N, D]."""
    parts = []
    for level in POOLED_LEVELS:
        mean, variance = tf.nn.moments(maps[level], axes=[1, 2])
        parts += [mean, tf.sqrt(variance + MIN_DEVIATION)]
    return tf.concat(parts, axis=1)


def direction_features(maps: Sequence[tf.Tensor]) -> tf.Tensor:
    """What the direction to a few labelled anomalies is fitted to, float32 [N, D]."""
    return mean_features(maps, DIRECTION_LEVELS)


def mean_features(maps: Sequence[tf.Tensor], levels: Sequence[int]) -> tf.Tensor:
    """Mean of each channel over all places, float32 [N, D], from some of `FEATURE_MAPS`."""
    return tf.concat([tf.reduce_mean(maps[level], axis=[1, 2]) for level in levels], axis=1)


def local_features(maps: Sequence[tf.Tensor]) -> tf.Tensor:
    """Features of each place, averaged with its neighbours, float32 [N, h, w, c]."""
    finest = maps[LOCAL_LEVELS[0]]
    height, width = finest.shape[1:3]
    parts = [
        tf.image.resize(tf.nn.avg_pool2d(maps[level], 3, 1, "SAME"), (height, width))
        for level in LOCAL_LEVELS
    ]
    return tf.concat(parts, axis=-1)


def detail_features(maps: Sequence[tf.Tensor]) -> tf.Tensor:
    """Features of each place of the finest map, averaged with its neighbours, [N, h, w, c]."""
    return tf.nn.avg_pool2d(maps[DETAIL_LEVEL], 3, 1, "SAME")
