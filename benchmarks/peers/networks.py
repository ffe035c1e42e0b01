"""Our networks in PyTorch, layer by layer, with the weights of Keras ones.

Maps are [N, C, H, W] in channels_last. A network does here what a PyTorch user would write: nothing
is folded that Keras has not folded.
"""

from collections.abc import Sequence

import keras
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ganad_tf import networks
from ganad_tf.networks.efficientnet_lite import PIXEL_MEAN, PIXEL_SCALE
from ganad_tf.networks.generator import GRID, LEAKY_SLOPE

# Keras' own values, which are not PyTorch's: PyTorch counts the share of the new statistics.
BATCH_NORM = {"eps": 1e-3, "momentum": 0.01}


def convolution(layer: keras.layers.Layer) -> nn.Module:
    """A convolution of Keras, transposed or not, in PyTorch."""
    kernel, *bias = layer.get_weights()
    size, stride = kernel.shape[0], layer.strides[0]
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        channels = kernel.shape[2]
        copy = PaddedConvolution(channels, channels, size, stride, channels, bool(bias))
        return _with_weights(copy, kernel.transpose(2, 3, 0, 1), *bias)
    kernel = kernel.transpose(3, 2, 0, 1)
    if isinstance(layer, keras.layers.Conv2DTranspose):
        copy = nn.ConvTranspose2d(*kernel.shape[:2], size, stride, 1, bias=bool(bias))
    else:
        copy = PaddedConvolution(*kernel.shape[1::-1], size, stride, 1, bool(bias))
    return _with_weights(copy, kernel, *bias)


def normalisation(layer: keras.layers.BatchNormalization) -> nn.BatchNorm2d:
    """A batch normalisation of Keras with its weights and statistics."""
    scale, shift, mean, variance = map(torch.from_numpy, layer.get_weights())
    copy = nn.BatchNorm2d(len(scale), **BATCH_NORM)
    copy.load_state_dict(
        {"weight": scale, "bias": shift, "running_mean": mean, "running_var": variance},
        strict=False,
    )
    return copy


def dense(layer: keras.layers.Dense) -> nn.Linear:
    """A dense layer of Keras with its weights."""
    kernel, bias = layer.get_weights()
    return _with_weights(nn.Linear(*kernel.shape), kernel.T, bias)


def _with_weights(copy: nn.Module, kernel: np.ndarray, bias: np.ndarray | None = None) -> nn.Module:
    with torch.no_grad():
        copy.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel)))
        if bias is not None:
            copy.bias.copy_(torch.from_numpy(bias))
    return copy


class PaddedConvolution(nn.Conv2d):
    """A convolution with TensorFlow's padding `same` for maps whose size the stride divides.

    Where that is not the same on both sides, a step of its own pads, as in PyTorch's ports of
    networks that were trained in TensorFlow.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, groups: int, bias: bool):
        total = max(size - stride, 0)
        before, after = total // 2, total - total // 2
        super().__init__(
            inputs,
            outputs,
            size,
            stride,
            before if before == after else 0,
            groups=groups,
            bias=bias,
        )
        self.padding_step = None if before == after else (before, after, before, after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(functional.pad(x, self.padding_step) if self.padding_step else x)


class DownStep(nn.Module):
    """`ganad_tf.networks.generator.DownStep`."""

    def __init__(self, step: networks.generator.DownStep):
        super().__init__()
        self.convolution = convolution(step.convolution)
        self.normalisation = normalisation(step.normalisation) if step.normalise else nn.Identity()
        self.refinement = None
        if step.refine:
            self.refinement = nn.Sequential(
                convolution(step.refinement),
                normalisation(step.refinement_normalisation),
                nn.LeakyReLU(LEAKY_SLOPE),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.leaky_relu(self.normalisation(self.convolution(x)), LEAKY_SLOPE)
        return x if self.refinement is None else x + self.refinement(x)


def up_step(step: networks.generator.UpStep) -> nn.Sequential:
    """`ganad_tf.networks.generator.UpStep`."""
    if step.last:
        return nn.Sequential(convolution(step.convolution), nn.Tanh())
    return nn.Sequential(
        convolution(step.convolution), normalisation(step.normalisation), nn.ReLU()
    )


class Generator(nn.Module):
    """`ganad_tf.networks.Generator`."""

    def __init__(self, generator: networks.Generator):
        super().__init__()
        self.image_size = generator.image_size
        self.down = nn.ModuleList(map(DownStep, generator.down))
        self.up = nn.ModuleList(map(up_step, generator.up))
        self.output_step = up_step(generator.output_step)
        self.head = dense(generator.head)
        self.to(memory_format=torch.channels_last)

    def encoder_maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = []
        for step in self.down:
            x = step(x)
            maps.append(x)
        return maps

    def decode(self, maps: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        *skips, x = maps
        logit = self.head(pool_features(x)).squeeze(1)
        for step, skip in zip(self.up, reversed(skips), strict=True):
            x = torch.cat([step(x), skip], dim=1)
        return self.output_step(x), logit

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        maps = self.encoder_maps(x)
        reconstruction, logit = self.decode(maps)
        return reconstruction, maps[-1], logit


class Discriminator(nn.Module):
    """`ganad_tf.networks.Discriminator`."""

    def __init__(self, discriminator: networks.Discriminator):
        super().__init__()
        steps = []
        for layer in discriminator.convolutions:
            steps += [convolution(layer), nn.LeakyReLU(LEAKY_SLOPE)]
        self.convolutions = nn.Sequential(*steps)
        self.patch_head = convolution(discriminator.patch_head)
        self.image_head = dense(discriminator.image_head)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.convolutions(x)
        return self.image_head(x.mean((2, 3))).squeeze(1), self.patch_head(x).squeeze(1)


class InvertedResidual(nn.Module):
    """`ganad_tf.networks.efficientnet_lite.InvertedResidual`; its normalisation is folded, too."""

    def __init__(self, block: networks.efficientnet_lite.InvertedResidual):
        super().__init__()
        *filters, project = map(convolution, block.convolutions)
        steps = [step for layer in filters for step in (layer, nn.ReLU6(inplace=True))]
        self.steps = nn.Sequential(*steps, project)
        self.adds = block.stride == 1 and block.inputs == block.channels
        self.halves = block.stride == 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.steps(x)
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """`ganad_tf.networks.EfficientNetLite0.feature_maps`."""

    def __init__(self, encoder: networks.EfficientNetLite0):
        super().__init__()
        self.stem = nn.Sequential(convolution(encoder.stem), nn.ReLU6(inplace=True))
        self.blocks = nn.ModuleList(map(InvertedResidual, encoder.blocks))
        self.to(memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        x = ((images + 1) / 2 - PIXEL_MEAN) / PIXEL_SCALE
        if x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        x, outputs = self.stem(x), []
        for block in self.blocks:
            if block.halves:
                outputs.append(x)
            early, x = x, block(x)
        return [*outputs[1:], early, x]


def pool_features(maps: torch.Tensor, grid: int = GRID) -> torch.Tensor:
    """`ganad_tf.networks.pool_features`: [N, grid * grid * c], channels last."""
    size = maps.shape[2]
    if size > grid:
        stride = size // grid
        maps = functional.avg_pool2d(maps, size - stride * (grid - 1), stride)
    return maps.permute(0, 2, 3, 1).flatten(1)


def to_network(images: torch.Tensor, image_size: int) -> torch.Tensor:
    """`ganad_tf.preprocessing.to_network` of images of this size or a multiple of it.

    Args:
        images: uint8 [N, h, h, C].
        image_size: S.

    Returns:
        float32 [N, C, S, S] in [-1, 1], in channels_last.
    """
    scaled = images.permute(0, 3, 1, 2).float() * (2 / 255) - 1
    factor = images.shape[1] // image_size
    return functional.avg_pool2d(scaled, factor) if factor > 1 else scaled
