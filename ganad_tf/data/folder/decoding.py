"""From an image file to pixels: the same rules by which the exported runtime reads images."""

from pathlib import Path

import numpy as np
from PIL import Image

from ganad_tf.errors import DataError

# `export/runtime.py` must stay one file that can be copied away, so these rules stand there a
# second time; tests/data/test_decoding.py holds the two together.
MAX_PIXELS = 64_000_000
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "PPM", "WEBP")
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".pgm", ".ppm", ".pbm"),
)
FITS = ("stretch", "pad")


def open_image(path: Path) -> Image.Image:
    """Opens an image file, refusing huge ones before they are decoded.

    Raises:
        DataError: if the image is too large.
        Exception: of many types, Pillow's own, if the file is not a readable image.
    """
    image = Image.open(path, formats=FORMATS)
    try:
        _check_size(image)
    except DataError:
        image.close()
        raise
    return image


def prepare(
    image: Image.Image, image_shape: tuple[int, int, int], fit: str = "stretch"
) -> np.ndarray:
    """Turns a Pillow image into what the networks take.

    The first frame of animations; 16-bit grey is scaled (not clipped) to 8 bits; transparency is
    laid over black, the colour the networks are padded with; palette, CMYK and other modes become
    grey (ITU-R 601 luma) or RGB; other sizes are scaled with Pillow's bilinear filter, which
    averages over all pixels when shrinking. EXIF rotation is not applied.

    Args:
        image: an opened image.
        image_shape: (h, w, C), C = 1 (grey) or 3 (RGB).
        fit: how other shapes come to (h, w): `stretch`, each side by itself, or `pad`, as
            `placed` says, with black around.

    Returns:
        uint8 [h, w, C].

    Raises:
        DataError: if the image is too large or holds floats or 32-bit numbers.
    """
    height, width, channels = image_shape
    _check_size(image)
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    elif image.mode == "F":
        raise DataError("expected 8-bit or 16-bit pixels. Received: floating-point pixels")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    image = image.convert("L" if channels == 1 else "RGB")
    left, top, *size = placed(image.size, (width, height), fit)
    if image.size != tuple(size):
        image = image.resize(size, Image.Resampling.BILINEAR)
    pixels = np.zeros(image_shape, np.uint8)
    pixels[top : top + size[1], left : left + size[0]] = np.asarray(image).reshape(
        *size[::-1], channels
    )
    return pixels


def placed(
    size: tuple[int, int], frame: tuple[int, int], fit: str = "stretch"
) -> tuple[int, int, int, int]:
    """Where an image comes to lie in its frame.

    Args:
        size: (width, height) of the image.
        frame: (width, height) that it must fill.
        fit: `stretch` for all of it; `pad` for the largest part, in the middle, that has the
            image's proportions, to a pixel. Small images are enlarged.

    Returns:
        left, top, width, height.
    """
    (width, height), (wide, high) = size, frame
    if fit == "pad" and width * high >= height * wide:
        high = max(1, (2 * height * wide + width) // (2 * width))
    elif fit == "pad":
        wide = max(1, (2 * width * high + height) // (2 * height))
    return (frame[0] - wide) // 2, (frame[1] - high) // 2, wide, high


def describe(error: Exception) -> str:
    """One line for whatever a reader raised, with its type where the message would not tell."""
    if isinstance(error, OSError) and error.strerror:
        return f"expected a readable file. Received: {error.strerror}"
    if type(error).__name__ == "UnidentifiedImageError":
        return f"expected an image ({', '.join(FORMATS)}). Received: other content"
    text = " ".join(str(error).split())
    if isinstance(error, DataError):
        return text
    return f"expected a whole image. Received: {type(error).__name__}: {text}"


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise DataError(
            f"expected at most {MAX_PIXELS:,} pixels. Received: {image.width}x{image.height}"
        )


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise DataError(
            "expected 8-bit or 16-bit pixels. "
            f"Received: values from {values.min()} to {values.max()}"
        )
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))
