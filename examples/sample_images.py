"""What the examples share: images to learn from."""

import numpy as np


def sample_images(normal: int, defective: int, seed: int = 0):
    """Brushed metal, some of it scratched.

    Args:
        normal: how many images without a scratch.
        defective: how many with one.
        seed: of the drawing.

    Returns:
        images uint8 [N, 64, 64, 3]; labels int [N], 1 where scratched; masks bool [N, 64, 64], true
        on scratches.
    """
    rng = np.random.default_rng(seed)
    count, size = normal + defective, 64
    brushed = rng.normal(0, 12, (count, size, 1)) + rng.normal(0, 4, (count, size, size))
    grey = 130 + brushed + rng.uniform(-15, 15, (count, 1, 1))
    labels = (np.arange(count) >= normal).astype(int)
    masks = np.zeros((count, size, size), bool)
    for mask in masks[normal:]:
        (x, y), angle = rng.uniform(12, size - 12, 2), rng.uniform(0, np.pi)
        for step in np.linspace(-10, 10, 60):
            row, column = int(y + step * np.sin(angle)), int(x + step * np.cos(angle))
            mask[row : row + 2, column : column + 2] = True
    grey[masks] += 70
    images = (grey[..., None] * (1, 0.97, 0.92)).clip(0, 255).astype(np.uint8)
    return images, labels, masks
