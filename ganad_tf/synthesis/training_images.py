"""From a raw batch to training images and masks."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from ganad_tf.preprocessing import reduce_pixels
from ganad_tf.settings.names import LOCAL_DEFECT, kind_name
from ganad_tf.synthesis.augmentation import Augmentation
from ganad_tf.synthesis.kinds import everywhere, synthesise
from ganad_tf.synthesis.transplants import transplant

# Streams of random numbers besides the augmentation's own.
_FOR_SYNTHESIS, _FOR_TRANSPLANTS = 1, 2


@dataclasses.dataclass(frozen=True)
class TrainingImages:
    """Makes the images of a training step: transplants, synthetic anomalies, augmentation.

    Args:
        augmentation: of normal images and anomalies alike.
        synthetic_share: share of the anomalies that is replaced by synthetic ones, in [0, 1].
            Synthetic anomalies must be made from normal images; otherwise real defects would be
            learnt as normal. So with 1, `batch["anomaly"]` must hold normal images.
        synthetic_kinds: see `ganad_tf.synthesis.kinds`.
        image_size: larger images are reduced to this size before anything else; None for never.
    """

    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    synthetic_share: float = 0.0
    synthetic_kinds: Sequence[str] = ()
    image_size: int | None = None

    def __post_init__(self):
        if not 0 <= self.synthetic_share <= 1:
            raise ValueError(
                "Argument `synthetic_share` must be in [0, 1]. "
                f"Received: synthetic_share={self.synthetic_share}"
            )

    def __call__(
        self, batch: Mapping[str, tf.Tensor], seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Makes the images of a step.

        Args:
            batch: `normal` uint8 [N, h, w, C] and `anomaly` uint8 [M, h, w, C]; also `mask` uint8
                [M, h, w, 1] if masks are known, 255 where an anomaly is anomalous; N = M then.
            seed: int32 [2]; the same seed gives the same images, so a resumed run repeats them.

        Returns:
            images: uint8 [N + M, h, w, C], the normal ones first; reduced if so wanted.
            masks: uint8 [M, h, w, 1] of the anomalies; None if all are anomalous as a whole.
        """
        normal, anomaly, masks = batch["normal"], batch["anomaly"], batch.get("mask")
        if self.image_size:
            normal = reduce_pixels(normal, self.image_size)
            anomaly = reduce_pixels(anomaly, self.image_size)
            masks = None if masks is None else _reduced_masks(masks, self.image_size)
        anomaly, masks = self._anomalies(normal, anomaly, masks, seed)
        images = tf.concat([normal, anomaly], axis=0)
        if masks is None:
            return self.augmentation(images, seed), None
        # Masks are augmented along with their images, as one more channel.
        masks = tf.concat([tf.zeros_like(normal[..., :1]), masks], axis=0)
        images = self.augmentation(tf.concat([images, masks], axis=-1), seed)
        return images[..., :-1], images[tf.shape(normal)[0] :, ..., -1:]

    def _anomalies(
        self, normal: tf.Tensor, anomaly: tf.Tensor, masks: tf.Tensor | None, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The anomalous half and its masks; None if all of it is anomalous as a whole."""
        has_places = masks is not None or (
            self.synthetic_share > 0 and LOCAL_DEFECT in self.synthetic_kinds
        )
        if masks is None:
            masks = everywhere(anomaly)
        else:
            for_transplants = tf.random.fold_in(seed, _FOR_TRANSPLANTS)
            anomaly, masks = transplant(normal, anomaly, masks, for_transplants)
        seed = tf.random.fold_in(seed, _FOR_SYNTHESIS)
        if self.synthetic_share == 1:
            anomaly, masks = synthesise(anomaly, seed, self.synthetic_kinds)
        elif self.synthetic_share:
            made, made_masks = synthesise(normal, seed, self.synthetic_kinds)
            drawn = tf.random.stateless_uniform([tf.shape(anomaly)[0], 1, 1, 1], seed)
            chosen = drawn < self.synthetic_share
            anomaly = tf.where(chosen, made, anomaly)
            masks = tf.where(chosen, made_masks, masks)
        return anomaly, masks if has_places else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the config of a Keras model."""
        return {**dataclasses.asdict(self), "synthetic_kinds": list(self.synthetic_kinds)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainingImages":
        """The inverse of `to_dict`; accepts the names of earlier versions, too."""
        augmentation = dict(values.get("augmentation", {}))
        if "turn" in augmentation:
            augmentation["rotation"] = augmentation.pop("turn")
        return cls(
            Augmentation(**augmentation),
            values.get("synthetic_share", 0.0),
            tuple(map(kind_name, values.get("synthetic_kinds", ()))),
            values.get("image_size"),
        )


def _reduced_masks(masks: tf.Tensor, image_size: int) -> tf.Tensor:
    """Masks at the reduced size, by the rule of `ganad_tf.data.masks.read_mask`.

    A block is anomalous if at least half of it is. If none reaches half, the blocks with the
    largest share are; otherwise a fine defect would train as an anomaly that cannot be seen.
    """
    shares = reduce_pixels(masks, image_size)
    largest = tf.reduce_max(shares, axis=[1, 2, 3], keepdims=True)
    limit = tf.clip_by_value(largest, 1, 128)  # at least 1: an empty mask stays empty
    return tf.where(shares >= limit, tf.constant(255, tf.uint8), 0)
