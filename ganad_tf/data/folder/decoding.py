"""From an image file to pixels, by the same rules as the exported runtime."""

from pathlib import Path

import numpy as np
from PIL import Image

from ganad_tf.errors import DataError

# `export/runtime.py` is one file that users copy to other machines, so it repeats these rules.
# tests/data/folder/test_decoding.py checks that both give the same pixels.
MAX_PIXELS = 64_000_000
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "PPM", "WEBP")
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".pgm", ".ppm", ".pbm"),
)
RESIZE_MODES = ("stretch", "pad")


def open_image(path: Path) -> Image.Image:
    """Opens an image file. An image of too many pixels is refused before it is decoded.

    Raises:
        DataError: if the image is too large.
        Exception: one of many types that Pillow raises, if the file is not a readable image.
    """
    image = Image.open(path, formats=FORMATS)
    try:
        _check_size(image)
    except DataError:
        image.close()
        raise
    return image


def prepare(
    image: Image.Image, image_shape: tuple[int, int, int], resize: str = "stretch"
) -> np.ndarray:
    """Turns a Pillow image into pixels for the networks.

    - Of an animation, the first frame is used.
    - 16-bit grey is scaled, not clipped, to 8 bits.
    - Transparent images are laid over black, the colour with which the networks pad images.
    - Palette, CMYK and other modes become grey (ITU-R 601 luma) or RGB.
    - Other sizes are scaled with Pillow's bilinear filter, which averages over all pixels when it
      shrinks an image.
    - EXIF rotation is not applied.

    Args:
        image: an opened image.
        image_shape: (h, w, C), C = 1 (grey) or 3 (RGB).
        resize: how other shapes are brought to (h, w): `stretch` scales each side by itself, `pad`
            keeps the proportions and adds black margins; see `placed`.

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
    left, top, wide, high = placed(image.size, (width, height), resize)
    if image.size != (wide, high):
        image = image.resize((wide, high), Image.Resampling.BILINEAR)
    pixels = np.zeros(image_shape, np.uint8)
    scaled = np.asarray(image).reshape(high, wide, channels)
    pixels[top : top + high, left : left + wide] = scaled
    return pixels


def placed(
    size: tuple[int, int], frame: tuple[int, int], resize: str = "stretch"
) -> tuple[int, int, int, int]:
    """The position and size of an image after scaling it into a frame.

    Args:
        size: (width, height) of the image, in pixels.
        frame: (width, height) of the frame, in pixels.
        resize: `stretch` fills the frame. `pad` takes the largest centred rectangle with the
            image's proportions, rounded to whole pixels. Small images are enlarged.

    Returns:
        (left, top, width, height) in pixels of the frame.
    """
    (width, height), (wide, high) = size, frame
    if resize == "pad" and width * high >= height * wide:
        high = max(1, (2 * height * wide + width) // (2 * width))
    elif resize == "pad":
        wide = max(1, (2 * width * high + height) // (2 * height))
    return (frame[0] - wide) // 2, (frame[1] - high) // 2, wide, high


def describe(error: Exception) -> str:
    """One line that describes an error raised while reading an image file."""
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
