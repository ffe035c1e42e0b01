"""Anomaly maps drawn over their images, as in the exported runtime."""

import numpy as np
from PIL import Image

# `export/runtime.py` must remain one file that can be copied, so it has a copy of this code;
# tests/report/test_overlays.py checks that both give the same pictures.
# Dark violet, red, orange, pale yellow: dark where normal, bright where not, also in grey print.
HEAT = ((0, 0, 0), (60, 10, 90), (180, 40, 80), (250, 140, 20), (255, 250, 170))


def overlay(pixels: np.ndarray, heat: np.ndarray, colour_range: tuple[float, float]) -> np.ndarray:
    """Lays an anomaly map over its image, on a colour scale that is the same for all images.

    Args:
        pixels: uint8 [H, W, 1 or 3].
        heat: float [h, w], stretched to H x W.
        colour_range: (low, high) of the scale; the heat's opacity grows along with its colour.

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
    return np.rint(grey * (1 - opacity) + colours * opacity).astype(np.uint8)
