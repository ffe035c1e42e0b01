"""The scorer: how an image's errors and features become one score, a decision, a probability.

A scorer is fitted once, on data that is not the test set, and is then a handful of numbers. The
same object scores in evaluation and is written into the exported graphs.
"""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

RECONSTRUCTION, PATCH, SPOT = "reconstruction", "patch", "spot"
PIXELS, FEATURES, LOCAL, CLASSIFIER = "pixels", "features", "local", "classifier"
COMPONENTS = (RECONSTRUCTION, PATCH, SPOT, PIXELS, FEATURES, LOCAL, CLASSIFIER)
NOVELTY, MIXED, DEFECTS, TAUGHT = "novelty", "mixed", "defects", "taught"
# What these add up, in units in which each component varies alike over normal images. They fit no
# weights to labelled anomalies, so that kinds which nobody has labelled count, too.
SHARES = {
    # Other things than the normal ones. Chosen on Fashion-MNIST's classes 0, 6 and 7.
    NOVELTY: {FEATURES: 1.0, PIXELS: 1.0, LOCAL: 0.5, CLASSIFIER: 0.25},
    # The same where some of each kind are labelled, so that the classifier knows them. Likewise.
    MIXED: {FEATURES: 1.0, CLASSIFIER: 1.5},
    # Normal things with a defect somewhere. Chosen on textures with synthetic defects.
    DEFECTS: {SPOT: 1.0, PATCH: 1.0, LOCAL: 1.0, CLASSIFIER: 0.5},
    # The same where some were labelled in their places, so that the classifier has met them in many
    # images. Likewise.
    TAUGHT: {PATCH: 1.0, FEATURES: 1.0, CLASSIFIER: 2.0},
}
# What `--score` may name: each is a set of components that are joined.
CHOICES: dict[str, tuple[str, ...]] = {
    "reconstruction": (RECONSTRUCTION,),
    "features": (FEATURES,),
    "local": (LOCAL,),
    "spot": (SPOT,),
    **{name: tuple(shares) for name, shares in SHARES.items()},
    "classifier": (CLASSIFIER,),
    "joint": COMPONENTS,
}
# Far below any value that occurs, yet a normal number in float32.
SMALLEST_COMPONENT = 1e-30


@dataclasses.dataclass(frozen=True)
class Component:
    """One measurement of an image and its part in the score.

    Args:
        name: one of `COMPONENTS`.
        reference: its median over normal validation images; above 0.
        weight: its share; the shares of a scorer sum to 1.
    """

    name: str
    reference: float
    weight: float


@dataclasses.dataclass(frozen=True)
class MapScales:
    """What makes anomaly maps comparable between images, from pixels of normal validation images.

    Args:
        error: 99.9 % quantile of |x - G(x)|, smoothed.
        distance: 99.9 % quantile of the local feature distance.
        typical_distance: its median; unlike errors, distances are far from 0 on normal images.
    """

    error: float
    distance: float
    typical_distance: float


@dataclasses.dataclass(frozen=True)
class Scorer:
    """Score, probability and decision from an image's component values.

    score = sum over components of weight * ln(value / reference): 0 is a typical normal image, and
    a score of 1 means that the components stand e = 2.7 times as high as there.

    Args:
        components: what the score is made of.
        threshold: an image is anomalous if its score is greater.
        slope, intercept: probability = sigmoid(slope * score + intercept), at even odds.
        map_scales: see `MapScales`.
        normal_scores: sorted scores of the normal validation images; any other false-alarm rate
            can be turned into a threshold with them later.
        explanation: how the components and the threshold were chosen, for people.
    """

    components: tuple[Component, ...]
    threshold: float
    slope: float
    intercept: float
    map_scales: MapScales
    normal_scores: tuple[float, ...]
    explanation: dict

    def score(self, values: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The anomaly score [N] of component values, each [N]."""
        terms = [
            c.weight * tf.math.log(tf.maximum(values[c.name], SMALLEST_COMPONENT) / c.reference)
            for c in self.components
        ]
        return tf.add_n(terms)

    def probability(self, scores: tf.Tensor) -> tf.Tensor:
        """Probability [N] that an image is an anomaly, where both are equally frequent."""
        return tf.sigmoid(self.slope * scores + self.intercept)

    def is_anomaly(self, scores: tf.Tensor) -> tf.Tensor:
        """Decision [N], bool."""
        return scores > self.threshold

    def anomaly_map(self, errors: tf.Tensor, distances: tf.Tensor | None) -> tf.Tensor:
        """The anomaly map [N, h, w], in units in which 1 is rarely passed by a normal pixel.

        Args:
            errors: |x - G(x)|, smoothed, [N, h, w].
            distances: the local feature distance, likewise; needed where the score uses it.
        """
        scales = self.map_scales
        errors = errors / scales.error
        if not self.uses(LOCAL):
            return errors
        # Less the typical one, so that normal images stay cool.
        distances = (distances - scales.typical_distance) / scales.distance
        return (errors + distances) / 2 if self.uses(SPOT) else distances

    def uses(self, name: str) -> bool:
        """Whether a component is part of the score."""
        return any(component.name == name for component in self.components)

    def calibration(self) -> dict:
        """What turns a score into a decision and a probability, for `calibration.json`."""
        return {
            "threshold": self.threshold,
            "threshold_rule": self.explanation["threshold"],
            "slope": self.slope,
            "intercept": self.intercept,
            "normal_scores": list(self.normal_scores),
        }

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping) -> "Scorer":
        """The inverse of `to_dict`."""
        components = tuple(Component(**component) for component in values["components"])
        scores = tuple(values["normal_scores"])
        scales = MapScales(**values["map_scales"])
        return cls(
            **{**values, "components": components, "normal_scores": scores, "map_scales": scales}
        )
