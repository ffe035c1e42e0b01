"""Anomaly maps drawn over their images, as in the exported runtime."""

import itertools

import numpy as np
from PIL import Image

# `export/runtime.py` must remain one file that can be copied, so it has a copy of this code;
# tests/report/test_overlays.py checks that both give the same pictures.
# Dark violet, red, orange, pale yellow: dark where normal, bright where not, also in grey print.
HEAT = ((0, 0, 0), (60, 10, 90), (180, 40, 80), (250, 140, 20), (255, 250, 170))
# Bright green, which is no colour of the heat. One pixel thick for so many pixels of the image's
# shorter side, so that a large photo's outlines can be seen.
OUTLINE, OUTLINE_SHARE = (0, 255, 130), 300


def overlay(
    pixels: np.ndarray,
    heat: np.ndarray,
    colour_range: tuple[float, float],
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """Lays an anomaly map over its image, on a colour scale that is the same for all images.

    Args:
        pixels: uint8 [H, W, 1 or 3].
        heat: float [h, w], stretched to H x W.
        colour_range: (low, high) of the scale; the heat's opacity grows along with its colour.
        mask: the marked pixels, bool [h, w]; their regions are outlined.

    Returns:
        uint8 [H, W, 3].
    """
    low, high = colour_range
    size = (pixels.shape[1], pixels.shape[0])
    stretched = Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    heat = np.clip((np.asarray(stretched) - low) / (high - low), 0, 1)
    anchors = np.linspace(0, 1, len(HEAT))
    colours = np.stack([np.interp(heat, anchors, band) for band in zip(*HEAT, strict=True)], -1)
    # The image is drawn in grey, so that its own colours are not mistaken for the map's.
    grey = pixels.mean(axis=-1, keepdims=True)
    opacity = 0.85 * np.sqrt(heat)[..., None]
    drawn = np.rint(grey * (1 - opacity) + colours * opacity).astype(np.uint8)
    if mask is not None and mask.any():
        nearest = Image.Resampling.NEAREST
        marked = np.asarray(Image.fromarray(mask.astype(np.uint8)).resize(size, nearest), bool)
        drawn[outline(marked)] = OUTLINE
    return drawn


def outline(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask, bool [H, W], that lie near its edge or the image's edge."""
    thickness = max(1, min(mask.shape) // OUTLINE_SHARE)
    padded = np.pad(mask, thickness)
    high, wide = mask.shape
    near = range(0, 2 * thickness + 1, thickness)
    inner = mask.copy()
    for top, left in itertools.product(near, near):
        inner &= padded[top : top + high, left : left + wide]
    return mask & ~inner
