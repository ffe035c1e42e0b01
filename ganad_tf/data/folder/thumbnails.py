"""Small versions and perceptual hashes of images, by which copies are found."""

import imagehash
import numpy as np
from PIL import Image

THUMBNAIL = 32


def make_thumbnail(pixels: np.ndarray) -> np.ndarray:
    """A small grey version of a decoded image: uint8 [h, w, C] to uint8 [32, 32]."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("L")
    return np.asarray(image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX))


def perceptual_hash(thumbnail: np.ndarray) -> np.uint64:
    """The 64 bits of pHash: which of the lowest frequencies are above their median."""
    bits = imagehash.phash(Image.fromarray(thumbnail)).hash
    return np.packbits(bits).view(np.uint64)[0]
