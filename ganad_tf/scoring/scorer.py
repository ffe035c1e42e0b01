"""The scorer: how an image's errors and features become one score, a decision, a probability.

A scorer is fitted once, on calibration images: those of the validation part and, with few photos,
normal training images (see `cross_fit`). It is then a handful of numbers. The same object scores in
evaluation and is written into the exported graphs.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from ganad_tf.calibration.map_scale import MapScale
from ganad_tf.errors import ArtefactError
from ganad_tf.settings.names import (
    ENCODER_DETAILS,
    ENCODER_PATCHES,
    MAX_ERROR,
    PATCH,
    PATCH_FEATURES,
    score_name,
)

# Of scorer.json. Format 1, without a number, had other names for some components; formats 1 and 2
# had no pixel threshold.
FORMAT = 3
# Components that have a map.
MAPS = (MAX_ERROR, PATCH_FEATURES, ENCODER_PATCHES, ENCODER_DETAILS)
# Far below any value that occurs, yet a normal number in float32.
MIN_COMPONENT = 1e-30


@dataclasses.dataclass(frozen=True)
class Component:
    """One measurement of an image and its part in the score.

    Args:
        name: one of `COMPONENTS`.
        reference: its median over normal calibration images; above 0.
        weight: its share; the shares of a scorer sum to 1.
    """

    name: str
    reference: float
    weight: float


@dataclasses.dataclass(frozen=True)
class Scorer:
    """Score, probability and decision from an image's component values.

    score = sum over components of weight * ln(value / reference): 0 is a typical normal image, and
    a score of 1 means that the components stand e = 2.7 times as high as there.

    Args:
        components: what the score is made of.
        threshold: an image is anomalous if its score is greater.
        slope, intercept: probability = sigmoid(slope * score + intercept), at even odds.
        map_scales: component -> the scale of its map; see `Measurement.maps`.
        normal_scores: sorted scores of the normal calibration images; any other false-alarm rate
            can be turned into a threshold with them later.
        explanation: how the components and the thresholds were chosen, for people.
        pixel_threshold: a pixel is marked if its map value is greater; None in detectors of earlier
            versions, which have no mask.
        normal_peaks: sorted largest map values of such images, each of one image;
            empty without a pixel threshold.
    """

    components: tuple[Component, ...]
    threshold: float
    slope: float
    intercept: float
    map_scales: dict[str, MapScale]
    normal_scores: tuple[float, ...]
    explanation: dict
    pixel_threshold: float | None = None
    normal_peaks: tuple[float, ...] = ()

    def score(self, values: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The anomaly score [N] of component values, each [N]."""
        terms = [
            c.weight * tf.math.log(tf.maximum(values[c.name], MIN_COMPONENT) / c.reference)
            for c in self.components
        ]
        return tf.add_n(terms)

    def probability(self, scores: tf.Tensor) -> tf.Tensor:
        """Probability [N] that an image is an anomaly, where both are equally frequent."""
        return tf.sigmoid(self.slope * scores + self.intercept)

    def is_anomaly(self, scores: tf.Tensor) -> tf.Tensor:
        """Decision [N], bool."""
        return scores > self.threshold

    def map_kinds(self) -> list[str]:
        """The components whose maps the anomaly map is the mean of."""
        used = [component for component in MAPS if self.uses(component)]
        if ENCODER_PATCHES in used and ENCODER_DETAILS not in used:
            # Patches see a large part of the image, so their map alone would be blurred.
            used.append(ENCODER_DETAILS)
        if MAX_ERROR not in used and self.uses(PATCH):
            # The same errors, averaged over patches, have no map of their own.
            used.append(MAX_ERROR)
        # Errors alone where no component of the score has a map.
        return used or [MAX_ERROR]

    def anomaly_map(self, maps: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The anomaly map [N, h, w]. A value of 1 is rarely passed by a normal pixel.

        Args:
            maps: component -> map [N, h, w], with at least those of `map_kinds`.
        """
        kinds = self.map_kinds()
        scaled = [
            (maps[kind] - self.map_scales[kind].typical) / self.map_scales[kind].high
            for kind in kinds
        ]
        return tf.add_n(scaled) / len(scaled)

    def mask(self, anomaly_map: tf.Tensor) -> tf.Tensor:
        """The marked pixels of an anomaly map, bool [N, h, w]; there must be a threshold."""
        return anomaly_map > self.pixel_threshold

    def uses(self, name: str) -> bool:
        """Whether a component is part of the score."""
        return any(component.name == name for component in self.components)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for scorer.json, with the number of their format."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Scorer":
        """The inverse of `to_dict`; reads earlier formats, too.

        Raises:
            ArtefactError: if the format is newer.
        """
        values = dict(values)
        version = values.pop("format", 1)
        if version not in range(1, FORMAT + 1):
            raise ArtefactError(
                f"scorer.json: expected format 1 to {FORMAT}, which this version of ganad_tf "
                f"reads. Received: format {version!r}"
            )
        components = tuple(
            Component(**{**component, "name": score_name(component["name"])})
            for component in values["components"]
        )
        return cls(
            **{
                **values,
                "components": components,
                "normal_scores": tuple(values["normal_scores"]),
                "normal_peaks": tuple(values.get("normal_peaks", ())),
                "map_scales": _read_map_scales(values["map_scales"]),
            }
        )


def _read_map_scales(values: Mapping[str, Any]) -> dict[str, MapScale]:
    """Map scales as stored; format 1 had those of errors and distances side by side."""
    if "typical_distance" in values:
        return {
            MAX_ERROR: MapScale(0.0, values["error"]),
            PATCH_FEATURES: MapScale(values["typical_distance"], values["distance"]),
        }
    return {kind: MapScale(**scale) for kind, scale in values.items()}
