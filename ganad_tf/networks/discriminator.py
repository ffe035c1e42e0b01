"""The discriminator; D_N and D_A are two of the same design with separate weights."""

from typing import Any

import keras
import tensorflow as tf

from ganad_tf.networks.generator import LEAKY_SLOPE, Shape, check_image_shape, initializer


@keras.saving.register_keras_serializable("ganad_tf")
class Discriminator(keras.Model):
    """Judges a whole image and each of its patches as real (1) or reconstructed (0).

    Four 4x4 convolutions (channels w, 2w, 4w, 4w; strides 2, 2, 2, 1) feed two heads: a 4x4
    convolution to one value per patch, and a dense layer on the mean feature to one value per
    image. There is no batch normalisation, so real and reconstructed images may share one pass
    without influencing each other.

    Args:
        image_size: height and width of the square input; a multiple of 16.
        channels: 1 or 3.
        width: w (paper: 64).

    Call arguments:
        images: float [N, S, S, C] in [-1, 1].

    Returns:
        `(image, patches)`: float32 [N] and [N, S/8, S/8] (4x4 at S = 32). The outputs are linear,
        because the least-squares loss (Mao et al. 2017) pulls them to 1 and 0 by itself and a
        sigmoid would only flatten its gradient.

    Source: Kim et al. 2020, Fig. 1; the two heads are those of Ferrari and Enneifer.
    """

    def __init__(self, image_size: int = 32, channels: int = 1, width: int = 64, **kwargs: Any):
        super().__init__(**kwargs)
        check_image_shape(image_size, channels)
        self.image_size, self.channels, self.width = image_size, channels, width
        policy = self.dtype_policy
        self.convolutions = [
            keras.layers.Conv2D(
                width * factor,
                4,
                strides=stride,
                padding="same",
                kernel_initializer=initializer(),
                dtype=policy,
            )
            for factor, stride in ((1, 2), (2, 2), (4, 2), (4, 1))
        ]
        self.activation = keras.layers.LeakyReLU(LEAKY_SLOPE, dtype=policy)
        self.pool = keras.layers.GlobalAveragePooling2D(dtype=policy)
        # The heads are float32 under every dtype policy: losses are computed from them.
        self.patch_head = keras.layers.Conv2D(
            1, 4, padding="same", kernel_initializer=initializer(), dtype="float32"
        )
        self.image_head = keras.layers.Dense(1, kernel_initializer=initializer(), dtype="float32")

    def build(self, input_shape: Shape | None = None) -> None:
        shape = (None, self.image_size, self.image_size, self.channels)
        for convolution in self.convolutions:
            convolution.build(shape)
            shape = convolution.compute_output_shape(shape)
        self.patch_head.build(shape)
        self.image_head.build((None, shape[-1]))
        self.built = True

    def call(self, images: tf.Tensor, training: bool | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        x = images
        for convolution in self.convolutions:
            x = self.activation(convolution(x))
        image = keras.ops.squeeze(self.image_head(self.pool(x)), axis=-1)
        return image, keras.ops.squeeze(self.patch_head(x), axis=-1)

    def get_config(self) -> dict[str, Any]:
        own = {"image_size": self.image_size, "channels": self.channels, "width": self.width}
        return {**super().get_config(), **own}
