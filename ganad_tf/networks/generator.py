"""The generator: a U-Net autoencoder without pooling (Kim et al. 2020, Fig. 1)."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

# Of a tensor, as Keras writes it: None for a size that is not fixed.
Shape = tuple[Any, ...]
# Weights of both networks start from N(0, 0.02), as in the reference code and in DCGAN.
INITIALIZER_STDDEV = 0.02
LEAKY_SLOPE = 0.2
HALVINGS = 4
# The bottleneck is averaged to this grid before it is judged or compared, so that a judgement
# costs the same at any image size.
GRID = 2


def initializer() -> keras.initializers.Initializer:
    """Returns a fresh N(0, 0.02) initializer; layers must not share one, or they share its seed."""
    return keras.initializers.RandomNormal(stddev=INITIALIZER_STDDEV)


def normalisation(dtype: keras.DTypePolicy | str) -> keras.layers.Layer:
    """Batch normalisation over the GLOBAL batch, so that replicas compute what one device would."""
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    return keras.layers.BatchNormalization(synchronized=several, dtype=dtype)


@keras.saving.register_keras_serializable("ganad_tf")
class DownStep(keras.layers.Layer):
    """Halves height and width: 4x4 convolution of stride 2, optional refinement.

    Args:
        filters: output channels.
        normalise: batch normalisation after the strided convolution (all steps but the first).
        refine: adds a 3x3 convolution with batch normalisation and a residual connection. Not in
            the paper; it makes the encoder a better classifier for its cost.
    """

    def __init__(self, filters: int, normalise: bool = True, refine: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.normalise, self.refine = filters, normalise, refine
        policy = self.dtype_policy
        self.convolution = keras.layers.Conv2D(
            filters,
            4,
            strides=2,
            padding="same",
            use_bias=not normalise,
            kernel_initializer=initializer(),
            dtype=policy,
        )
        self.normalisation = normalisation(policy) if normalise else None
        self.activation = keras.layers.LeakyReLU(LEAKY_SLOPE, dtype=policy)
        if refine:
            self.refinement = keras.layers.Conv2D(
                filters,
                3,
                padding="same",
                use_bias=False,
                kernel_initializer=initializer(),
                dtype=policy,
            )
            self.refinement_normalisation = normalisation(policy)

    def build(self, input_shape: Shape) -> None:
        self.convolution.build(input_shape)
        shape = self.convolution.compute_output_shape(input_shape)
        if self.normalisation is not None:
            self.normalisation.build(shape)
        if self.refine:
            self.refinement.build(shape)
            self.refinement_normalisation.build(shape)

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        x = self.convolution(x)
        if self.normalisation is not None:
            x = self.normalisation(x, training=training)
        x = self.activation(x)
        if self.refine:
            residual = self.refinement_normalisation(self.refinement(x), training=training)
            x = x + self.activation(residual)
        return x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.convolution.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        own = {"filters": self.filters, "normalise": self.normalise, "refine": self.refine}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("ganad_tf")
class UpStep(keras.layers.Layer):
    """Doubles height and width: 4x4 transposed convolution of stride 2.

    Args:
        filters: output channels.
        last: the output step: no normalisation, and tanh in float32 whatever the dtype policy,
            because errors and losses are computed from it.
    """

    def __init__(self, filters: int, last: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.last = filters, last
        policy = self.dtype_policy
        self.convolution = keras.layers.Conv2DTranspose(
            filters,
            4,
            strides=2,
            padding="same",
            use_bias=last,
            kernel_initializer=initializer(),
            dtype=policy,
        )
        self.normalisation = None if last else normalisation(policy)
        self.activation = keras.layers.Activation(
            "tanh" if last else "relu", dtype="float32" if last else policy
        )

    def build(self, input_shape: Shape) -> None:
        self.convolution.build(input_shape)
        if self.normalisation is not None:
            self.normalisation.build(self.convolution.compute_output_shape(input_shape))

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        x = self.convolution(x)
        if self.normalisation is not None:
            x = self.normalisation(x, training=training)
        return self.activation(x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.convolution.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "last": self.last}


@keras.saving.register_keras_serializable("ganad_tf")
class Generator(keras.Model):
    """U-Net that reconstructs images; its bottleneck E(x) is the feature map of the method.

    Encoder: four halvings with w, 2w, 4w, 8w channels. Decoder: four doublings with 4w, 2w, w, C
    channels; encoder maps are concatenated after the first three (skip connections). About 6.2
    million weights at w = 64 without refinement.

    A linear head on the pooled bottleneck (not in the paper) gives the logit of the feature ABC
    loss; see `ganad_tf.losses.feature_abc_loss`.

    Args:
        image_size: height and width of the square input; a multiple of 16.
        channels: 1 (grey) or 3 (colour).
        width: w, the channels of the first encoder step (paper: 64).
        refine: a residual 3x3 convolution after each of the last two halvings, where maps are
            small and it is nearly free (not in the paper).

    Call arguments:
        images: float [N, S, S, C] in [-1, 1].
        training: whether batch normalisation uses (and updates from) the batch's statistics.

    Returns:
        `(reconstruction, features, logit)`: float32 [N, S, S, C] in [-1, 1]; E(x) as
        [N, S/16, S/16, 8w] in the compute dtype; float32 [N], the head's logit of "anomaly".

    Raises:
        ValueError: if the size is not a positive multiple of 16 or `channels` is not 1 or 3.

    Source: Kim et al. 2020, section 3; channels and strides as in the third author's code.
    """

    def __init__(
        self,
        image_size: int = 32,
        channels: int = 1,
        width: int = 64,
        refine: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_image_shape(image_size, channels)
        if width < 1:
            raise ValueError(f"Argument `width` must be at least 1. Received: width={width}")
        self.image_size, self.channels, self.width, self.refine = (
            image_size,
            channels,
            width,
            refine,
        )
        policy = self.dtype_policy
        self.down = [
            DownStep(
                width * factor, normalise=factor > 1, refine=refine and factor > 2, dtype=policy
            )
            for factor in (1, 2, 4, 8)
        ]
        self.up = [UpStep(width * factor, dtype=policy) for factor in (4, 2, 1)]
        self.output_step = UpStep(channels, last=True, dtype=policy)
        self.head = keras.layers.Dense(1, kernel_initializer=initializer(), dtype="float32")

    def build(self, input_shape: Shape | None = None) -> None:
        shape: Shape = (None, self.image_size, self.image_size, self.channels)
        skips = []
        for step in self.down:
            step.build(shape)
            shape = step.compute_output_shape(shape)
            skips.append(shape)
        for step, skip in zip(self.up, skips[-2::-1], strict=True):
            step.build(shape)
            shape = step.compute_output_shape(shape)
            shape = (*shape[:-1], shape[-1] + skip[-1])
        self.output_step.build(shape)
        side = min(GRID, skips[-1][1])
        self.head.build((None, side * side * skips[-1][-1]))
        self.built = True

    def encoder_maps(self, images: tf.Tensor, training: bool | None = None) -> list[tf.Tensor]:
        """The four encoder maps [N, S/2, S/2, w] ... [N, S/16, S/16, 8w]; the last is E(images)."""
        maps = []
        x = keras.ops.cast(images, self.compute_dtype)
        for step in self.down:
            x = step(x, training=training)
            maps.append(x)
        return maps

    def encode(self, images: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns E(images) alone, the bottleneck map [N, S/16, S/16, 8w]."""
        return self.encoder_maps(images, training)[-1]

    def decode(
        self, maps: Sequence[tf.Tensor], training: bool | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The rest of the network: reconstruction and logit from the encoder's maps."""
        *skips, x = maps
        logit = keras.ops.squeeze(self.head(pool_features(x)), axis=-1)
        for step, skip in zip(self.up, reversed(skips), strict=True):
            x = keras.ops.concatenate([step(x, training=training), skip], axis=-1)
        return self.output_step(x, training=training), logit

    def call(
        self, images: tf.Tensor, training: bool | None = None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        maps = self.encoder_maps(images, training)
        reconstruction, logit = self.decode(maps, training)
        return reconstruction, maps[-1], logit

    def get_config(self) -> dict[str, Any]:
        own = {
            "image_size": self.image_size,
            "channels": self.channels,
            "width": self.width,
            "refine": self.refine,
        }
        return {**super().get_config(), **own}


def pool_features(features: tf.Tensor, grid: int = GRID) -> tf.Tensor:
    """Averages a map [N, h, w, c], h = w, to a grid: float32 [N, grid * grid * c]."""
    features = keras.ops.cast(features, "float32")
    height, width, channels = features.shape[1:]
    if height > grid:
        stride = height // grid
        # Windows a little larger than the stride cover the map also where the grid does not
        # divide it.
        window = height - stride * (grid - 1)
        features = keras.ops.average_pool(features, window, stride, "valid")
        height = width = grid
    return keras.ops.reshape(features, (-1, height * width * channels))


def check_image_shape(image_size: int, channels: int) -> None:
    """Raises ValueError unless four halvings of the image size are whole and C is 1 or 3."""
    if image_size < 16 or image_size % 2**HALVINGS:
        raise ValueError(
            f"Argument `image_size` must be a positive multiple of {2**HALVINGS} "
            f"(the U-Net halves it {HALVINGS} times). Received: image_size={image_size}"
        )
    if channels not in (1, 3):
        raise ValueError(
            f"Argument `channels` must be 1 (grey) or 3 (colour). Received: channels={channels}"
        )
