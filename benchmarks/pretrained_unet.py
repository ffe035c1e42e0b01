"""A generator whose encoder is a frozen EfficientNet-Lite0, for `benchmarks.encoder_designs`.

It has the interface of `ganad_tf.networks.Generator`, so that the product's losses, training step
and measurements take it as it is.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ganad_tf.networks import EfficientNetLite0, pool_features
from ganad_tf.networks.efficientnet_lite import FEATURE_MAPS, SIZE_MULTIPLE, STAGES
from ganad_tf.networks.generator import GRID, UpStep, initializer, normalisation
from ganad_tf.scoring.encoder_features import EncoderFeatures
from ganad_tf.training.model import DualDiscriminatorGAN


class PretrainedUNet(keras.Model):
    """A generator whose encoder is a frozen EfficientNet-Lite0.

    Every stage passes a batch normalisation, which is trained, because the stages of the frozen
    network have different scales. Five doublings as in `Generator`, with 8w, 4w, 2w, w and C
    channels, follow.

    Args:
        encoder: frozen; may be shared.
        image_size: S, a multiple of 32.
        channels, width: see `Generator`.
    """

    def __init__(self, encoder: EfficientNetLite0, image_size: int, channels: int, width: int):
        super().__init__()
        self.encoder = encoder
        self.image_size, self.channels, self.width, self.refine = image_size, channels, width, False
        # Of the maps in the order of `encoder_maps`.
        self.map_channels = [FEATURE_MAPS[level].channels for level in (0, 1, 2, 4)]
        self.map_channels.append(STAGES[0].channels)
        self.normalisations = [normalisation(self.dtype_policy) for _ in self.map_channels]
        self.up = [UpStep(width * factor) for factor in (8, 4, 2, 1)]
        self.output_step = UpStep(channels, last=True)
        self.head = keras.layers.Dense(1, kernel_initializer=initializer())
        self.last_stages: Sequence[tf.Tensor] = ()

    def build(self, input_shape: Any = None) -> None:
        for layer, channels in zip(self.normalisations, self.map_channels, strict=True):
            layer.build((None, None, None, channels))
        *skips, deepest, finest = self.map_channels
        inputs = deepest
        for step, skip in zip(self.up, (*reversed(skips), finest), strict=True):
            step.build((None, None, None, inputs))
            inputs = step.filters + skip
        self.output_step.build((None, None, None, inputs))
        side = min(GRID, self.image_size // SIZE_MULTIPLE)
        self.head.build((None, side * side * deepest))
        self.built = True

    def encoder_maps(self, images: tf.Tensor, training: bool | None = None) -> list[tf.Tensor]:
        """The maps of strides 4, 8, 16 and 32, the last is E(images), and then that of stride 2.

        The finest comes last, because distances look at the second to the fourth map.
        """
        self.last_stages = self.encoder.all_maps(images)
        finest, *maps = self.last_stages
        del maps[3]  # the early map of stride 32
        return [*maps, finest]

    def encode(self, images: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns E(images), float32 [N, S/32, S/32, 320]."""
        return self.encoder.feature_maps(images)[-1]

    def decode(
        self, maps: Sequence[tf.Tensor], training: bool | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Reconstruction and logit, as `Generator.decode` returns them."""
        normal = [f(m, training=training) for f, m in zip(self.normalisations, maps, strict=True)]
        *skips, x, finest = normal
        logit = keras.ops.squeeze(self.head(pool_features(x)), axis=-1)
        for step, skip in zip(self.up, (*reversed(skips), finest), strict=True):
            x = keras.ops.concatenate([step(x, training=training), skip], axis=-1)
        return self.output_step(x, training=training), logit

    def call(
        self, images: tf.Tensor, training: bool | None = None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        maps = self.encoder_maps(images)
        reconstruction, logit = self.decode(maps, training)
        return reconstruction, maps[3], logit


@dataclasses.dataclass(frozen=True)
class SharedFeatures(EncoderFeatures):
    """The encoder's components from the maps that the generator has just computed."""

    generator: PretrainedUNet = dataclasses.field(kw_only=True)

    def maps(self, images: tf.Tensor) -> list[tf.Tensor]:
        return list(self.generator.last_stages[1:])


def put_inside(model: DualDiscriminatorGAN, encoder: EfficientNetLite0) -> DualDiscriminatorGAN:
    """The compiled model with generators of the design `inside`; optimizers start anew."""
    compiled, old = model.get_compile_config(), model.generator
    for name in ("generator", "averaged_generator"):
        network = PretrainedUNet(encoder, old.image_size, old.channels, old.width)
        network.build()
        # Keras admits no new layers to a model that is built. It need not know them, because each
        # optimizer is given its own network's variables, and the model is never saved.
        object.__setattr__(model, name, network)
    model.averaged_generator.trainable = False
    model.averaged_generator.set_weights(model.generator.get_weights())
    model.compile_from_config(compiled)
    return model
