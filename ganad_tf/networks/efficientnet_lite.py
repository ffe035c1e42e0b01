"""EfficientNet-Lite0: a frozen network whose ImageNet features tell what an image shows."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import tensorflow as tf

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
CLASSES = 1000
# The network halves height and width five times.
SIZE_MULTIPLE = 32
# The normalisation that the published weights were trained with, for pixels in [0, 1].
PIXEL_MEAN, PIXEL_SCALE = 0.498, 0.502


class Stage(NamedTuple):
    """One row of the architecture: blocks of equal width; only the first may change the size."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


class FeatureMap(NamedTuple):
    """One output of `EfficientNetLite0.feature_maps`: pixels of the image per step, channels."""

    name: str
    stride: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)

# Outputs of the last block at each stride and, at stride 32, of the block before, which is less
# specific to the classes of ImageNet; in the order that `feature_maps` returns them.
FEATURE_MAPS = (
    FeatureMap("stride_4", 4, 24),
    FeatureMap("stride_8", 8, 40),
    FeatureMap("stride_16", 16, 112),
    FeatureMap("stride_32_early", 32, 192),
    FeatureMap("stride_32", 32, 320),
)


class BlockShape(NamedTuple):
    """Arguments of one `InvertedResidual`."""

    inputs: int
    channels: int
    kernel: int
    stride: int
    expansion: int


def block_shapes() -> Iterator[BlockShape]:
    """The 16 blocks of `STAGES` in order."""
    inputs = STEM_CHANNELS
    for stage in STAGES:
        for index in range(stage.blocks):
            stride = stage.stride if index == 0 else 1
            yield BlockShape(inputs, stage.channels, stage.kernel, stride, stage.expansion)
            inputs = stage.channels


@keras.saving.register_keras_serializable("ganad_tf")
class InvertedResidual(keras.layers.Layer):
    """Expands the channels, filters each one alone, projects to few channels again.

    1x1 convolution, ReLU6; depthwise convolution, ReLU6; 1x1 convolution without activation. The
    input is added where it has the output's shape. Batch normalisation is folded into the
    kernels and biases; see `EfficientNetLite0`.

    Args:
        inputs: input channels.
        channels: output channels.
        kernel: height and width of the depthwise kernel.
        stride: stride of the depthwise convolution.
        expansion: factor from `inputs` to the inner channels; 1 leaves the first convolution out.

    Call arguments:
        x: float32 [N, H, W, inputs].

    Returns:
        float32 [N, ceil(H / stride), ceil(W / stride), channels].

    Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        kernel: int = 3,
        stride: int = 1,
        expansion: int = 6,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.inputs, self.channels, self.kernel = inputs, channels, kernel
        self.stride, self.expansion = stride, expansion
        policy = self.dtype_policy
        self.expand = (
            keras.layers.Conv2D(inputs * expansion, 1, dtype=policy) if expansion > 1 else None
        )
        self.depthwise = keras.layers.DepthwiseConv2D(
            kernel, strides=stride, padding="same", dtype=policy
        )
        self.project = keras.layers.Conv2D(channels, 1, dtype=policy)

    @property
    def convolutions(self) -> list[keras.layers.Layer]:
        """The two or three convolutions in the order of computation."""
        layers = [self.depthwise, self.project]
        return layers if self.expand is None else [self.expand, *layers]

    def build(self, input_shape: tuple) -> None:
        shape = input_shape
        for layer in self.convolutions:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        y = x if self.expand is None else keras.ops.relu6(self.expand(x))
        y = self.project(keras.ops.relu6(self.depthwise(y)))
        return x + y if self.stride == 1 and self.inputs == self.channels else y

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*self.depthwise.compute_output_shape(input_shape)[:-1], self.channels)

    def get_config(self) -> dict[str, Any]:
        own = {
            "inputs": self.inputs,
            "channels": self.channels,
            "kernel": self.kernel,
            "stride": self.stride,
            "expansion": self.expansion,
        }
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("ganad_tf")
class EfficientNetLite0(keras.Model):
    """EfficientNet-Lite0, frozen, as a source of features; no squeeze-and-excitation, ReLU6.

    2.9 million weights, 4.6 million with the classifier. New instances hold random weights;
    `ganad_tf.networks.load_efficientnet_lite0` returns one with weights trained on ImageNet.

    The network is never trained here. Its batch normalisation would always use the stored
    statistics, a fixed scale and shift per channel. So it is folded into the kernels and biases
    of the convolutions, and there are no such layers. All computation is float32, whatever the
    global dtype policy.

    Args:
        classify: whether the classifier of the 1000 ImageNet classes is there too. Features do not
            need it.

    Call arguments:
        images: float [N, H, W, C] in [-1, 1]; H and W multiples of 32, C 1 (grey) or 3 (RGB). Grey
            is repeated to three channels. The weights were trained at 224x224.

    Returns:
        What `feature_maps` returns.

    Raises:
        ValueError: if height or width is no positive multiple of 32, or the channels are not 1
            or 3.

    Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    ICML 2019; the Lite variants are Google's, in tensorflow/tpu (Apache 2.0).
    """

    def __init__(self, classify: bool = False, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.classify = classify
        policy = self.dtype_policy
        self.stem = keras.layers.Conv2D(
            STEM_CHANNELS, 3, strides=2, padding="same", dtype=policy, name="stem"
        )
        self.blocks = [
            InvertedResidual(**shape._asdict(), dtype=policy, name=f"block_{index}")
            for index, shape in enumerate(block_shapes())
        ]
        self.head, self.classifier = None, None
        if classify:
            self.head = keras.layers.Conv2D(HEAD_CHANNELS, 1, dtype=policy, name="head")
            self.classifier = keras.layers.Dense(CLASSES, dtype=policy, name="classifier")
        self.trainable = False

    @property
    def convolutions(self) -> list[keras.layers.Layer]:
        """All convolutions in the order of computation, the classifier's last."""
        layers = [self.stem, *(layer for block in self.blocks for layer in block.convolutions)]
        return layers if self.head is None else [*layers, self.head]

    def build(self, input_shape: tuple | None = None) -> None:
        shape = (None, None, None, 3)
        for layer in (self.stem, *self.blocks):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        if self.head is not None and self.classifier is not None:
            self.head.build(shape)
            self.classifier.build((None, HEAD_CHANNELS))
        self.built = True

    def feature_maps(self, images: tf.Tensor) -> list[tf.Tensor]:
        """The maps that `FEATURE_MAPS` names, finest first.

        Args:
            images: as in a call of the network.

        Returns:
            Five float32 maps, linear outputs of a block: [N, H/4, W/4, 24], [N, H/8, W/8, 40],
            [N, H/16, W/16, 112], [N, H/32, W/32, 192] and [N, H/32, W/32, 320].
        """
        return self.all_maps(images)[1:]

    def all_maps(self, images: tf.Tensor) -> list[tf.Tensor]:
        """The map of stride 2, [N, H/2, W/2, 16], and those of `feature_maps`."""
        x = keras.ops.relu6(self.stem(standardise(images)))
        outputs = []
        for block in self.blocks:
            if block.stride == 2:
                outputs.append(x)
            early, x = x, block(x)
        return [*outputs, early, x]

    def call(self, images: tf.Tensor) -> list[tf.Tensor]:
        return self.feature_maps(images)

    def logits(self, images: tf.Tensor) -> tf.Tensor:
        """Logits of the ImageNet classes: float32 [N, 1000], in the order of the ILSVRC 2012 list.

        Raises:
            ValueError: if the network was made without its classifier.
        """
        if self.head is None or self.classifier is None:
            raise ValueError("Logits need a network with `classify=True`. Received: classify=False")
        x = keras.ops.relu6(self.head(self.feature_maps(images)[-1]))
        return self.classifier(keras.ops.mean(x, axis=(1, 2)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classify": self.classify}


def standardise(images: tf.Tensor) -> tf.Tensor:
    """Images [N, H, W, 1 or 3] in [-1, 1] to [N, H, W, 3] as EfficientNet-Lite was trained with.

    Raises:
        ValueError: as described for `EfficientNetLite0`.
    """
    images = keras.ops.convert_to_tensor(images)
    if len(images.shape) != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            "Argument `images` must be [N, H, W, C] with C = 1 (grey) or 3 (colour). "
            f"Received: shape={tuple(images.shape)}"
        )
    # A side that is unknown when a graph is traced is not checked.
    sides = [side for side in images.shape[1:3] if side is not None]
    if any(side == 0 or side % SIZE_MULTIPLE for side in sides):
        raise ValueError(
            "Argument `images` must have a height and width that are positive multiples of "
            f"{SIZE_MULTIPLE}. Received: shape={tuple(images.shape)}"
        )
    pixels = (keras.ops.cast(images, "float32") + 1) / 2
    x = (pixels - PIXEL_MEAN) / PIXEL_SCALE
    return keras.ops.concatenate([x, x, x], axis=-1) if x.shape[-1] == 1 else x
