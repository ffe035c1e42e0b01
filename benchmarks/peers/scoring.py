"""The score of a detector in PyTorch, as a user would write it for the same networks."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers.networks import EfficientNetLite0, Generator, pool_features, to_network
from ganad_tf.losses import Patches
from ganad_tf.scoring import Detector
from ganad_tf.scoring.encoder_features import (
    DETAIL_LEVEL,
    LOCAL_LEVELS,
    MIN_DEVIATION,
    NEAREST,
    POOLED_LEVELS,
    TOP_DETAILS,
    TOP_PATCHES,
    EncoderFeatures,
    Whitening,
)
from ganad_tf.scoring.feature_distance import (
    LEVELS,
    LOCAL_LEVEL,
    MIN_SQUARE,
    PIXEL_GRID,
    RESOLUTION,
    TOP_SHARE,
    FeatureDistance,
)
from ganad_tf.scoring.scorer import MIN_COMPONENT
from ganad_tf.settings import names


class ScoringNetwork(nn.Module):
    """From uint8 images [N, h, h, C] to the score [N]: all components, and how they are joined.

    It has no maps, no mask, no probability and no pixels of the reconstruction.

    Args:
        detector: whose weights and fitted arrays are copied; its score has no label direction.
    """

    def __init__(self, detector: Detector):
        super().__init__()
        measurer = detector.measurer
        self.generator = Generator(measurer.generator)
        self.patches = Patches.for_image_size(self.generator.image_size)
        self.pixels = NearestDistance.fitted(measurer.distances.pixels)
        self.pooled = nn.ModuleList(map(NearestDistance.fitted, measurer.distances.pooled))
        self.local = NearestDistance.fitted(measurer.distances.local)
        self.encoder = None if measurer.encoder is None else EncoderDistances(measurer.encoder)
        self.components = detector.scorer.components
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = to_network(images, self.generator.image_size)
        maps = self.generator.encoder_maps(x)
        reconstruction, logit = self.generator.decode(maps)
        values = {
            **self._error_values((x - reconstruction).abs().mean(1, keepdim=True)),
            names.CLASSIFIER: functional.softplus(logit),
            names.PIXELS: self.pixels(pool_features(x, PIXEL_GRID)),
            names.FEATURES: self._pooled_distance(maps),
            names.PATCH_FEATURES: self._local_distance(maps[LOCAL_LEVEL]),
        }
        if self.encoder is not None:
            values |= self.encoder(images)
        return sum(
            c.weight * torch.log(values[c.name].clamp_min(MIN_COMPONENT) / c.reference)
            for c in self.components
        )

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """The reconstruction, float32 [N, C, S, S]."""
        return self.generator(to_network(images, self.generator.image_size))[0]

    def _error_values(self, errors: torch.Tensor) -> dict[str, torch.Tensor]:
        """The components that are made of pixel errors [N, 1, S, S]."""
        patches, window = self.patches, errors.shape[2] // 16 + 1
        blocks = functional.avg_pool2d(errors, patches.stride)
        windows = functional.avg_pool2d(blocks, patches.size // patches.stride, 1).flatten(1)
        return {
            names.RECONSTRUCTION: errors.mean((1, 2, 3)),
            names.PATCH: windows.topk(patches.largest, sorted=False).values.mean(1),
            names.MAX_ERROR: smoothed(errors, window).amax((1, 2, 3)),
        }

    def _pooled_distance(self, maps: list[torch.Tensor]) -> torch.Tensor:
        logs = [
            torch.log(distance(pool_features(maps[level])))
            for level, distance in zip(LEVELS, self.pooled, strict=True)
        ]
        return torch.exp(sum(logs) / len(logs))

    def _local_distance(self, maps: torch.Tensor) -> torch.Tensor:
        rows, count = rows_of(smoothed(maps, 3))
        return largest_mean(self.local(rows).view(-1, count), TOP_SHARE)


class NearestDistance(nn.Module):
    """Mean distance to the nearest prototypes after whitening.

    See `ganad_tf.scoring.feature_distance.nearest_distances`.
    """

    def __init__(self, whitening: Whitening, prototypes: np.ndarray, nearest: int):
        super().__init__()
        self.whitening, self.nearest = Whitened(whitening), nearest
        norms = np.sum(prototypes**2, axis=1)
        self.register_buffer("norms", torch.from_numpy(norms))
        self.register_buffer("doubled", torch.from_numpy(2 * prototypes.T).contiguous())

    @classmethod
    def fitted(cls, distance: FeatureDistance) -> "NearestDistance":
        """As fitted to the generator's features or to pixels."""
        whitening = Whitening(distance.mean, distance.projection)
        return cls(whitening, distance.prototypes, distance.nearest)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        projected = self.whitening(features)
        nearness = torch.addmm(-self.norms, projected, self.doubled)
        closest, which = nearness.topk(self.nearest, sorted=False)
        row_norms = (projected**2).sum(1, keepdim=True)
        resolution = RESOLUTION * (row_norms + self.norms[which]) + MIN_SQUARE
        return torch.maximum(row_norms - closest, resolution).sqrt().mean(1)


class Whitened(nn.Module):
    """`ganad_tf.scoring.encoder_features.Whitening`."""

    def __init__(self, whitening: Whitening):
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(whitening.mean))
        self.register_buffer("projection", torch.from_numpy(whitening.projection))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return (features - self.mean) @ self.projection


class EncoderDistances(nn.Module):
    """`ganad_tf.scoring.encoder_features.EncoderFeatures`, without the label direction."""

    def __init__(self, features: EncoderFeatures):
        super().__init__()
        self.network, self.image_size = EfficientNetLite0(features.encoder), features.image_size
        self.pooled, self.details = Whitened(features.pooled), Whitened(features.details)
        self.patches = NearestDistance(features.local, features.prototypes, NEAREST)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        x = images.permute(0, 3, 1, 2).float() * (2 / 255) - 1
        if x.shape[2] != self.image_size:
            x = functional.interpolate(x, (self.image_size, self.image_size), mode="bilinear")
        maps = self.network(x)
        pooled = []
        for level in POOLED_LEVELS:
            variance, mean = torch.var_mean(maps[level], (2, 3), correction=0)
            pooled += [mean, (variance + MIN_DEVIATION).sqrt()]
        patches, n_patches = rows_of(self._local_features(maps))
        details, n_details = rows_of(smoothed(maps[DETAIL_LEVEL], 3))
        patch_distances = self.patches(patches).view(-1, n_patches)
        detail_distances = self.details(details).norm(dim=1).view(-1, n_details)
        return {
            names.ENCODER_FEATURES: self.pooled(torch.cat(pooled, 1)).norm(dim=1),
            names.ENCODER_PATCHES: largest_mean(patch_distances, TOP_PATCHES),
            names.ENCODER_DETAILS: largest_mean(detail_distances, TOP_DETAILS),
        }

    def _local_features(self, maps: list[torch.Tensor]) -> torch.Tensor:
        first, *others = (smoothed(maps[level], 3) for level in LOCAL_LEVELS)
        size = first.shape[2:]
        return torch.cat(
            [first, *(functional.interpolate(m, size, mode="bilinear") for m in others)], 1
        )


def smoothed(maps: torch.Tensor, window: int) -> torch.Tensor:
    """Each place averaged with its neighbours; padding is left out of the average."""
    return functional.avg_pool2d(maps, window, 1, window // 2, count_include_pad=False)


def rows_of(maps: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Maps [N, c, h, w] as rows [N * h * w, c], and how many rows an image has."""
    _, channels, height, width = maps.shape
    return maps.permute(0, 2, 3, 1).reshape(-1, channels), height * width


def largest_mean(places: torch.Tensor, share: float) -> torch.Tensor:
    """Mean over an image's most unusual places, [N, count] to [N]."""
    largest = max(1, round(share * places.shape[1]))
    return places.topk(largest, sorted=False).values.mean(1)


def runner(network: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[np.ndarray], np.ndarray]:
    """A function from uint8 images [N, h, h, C] to scores [N]."""

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(images)).numpy()

    return run
