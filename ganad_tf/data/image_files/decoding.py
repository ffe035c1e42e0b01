"""From an image file to pixels, by the same rules as the exported runtime."""

import os
import stat
from pathlib import Path

import numpy as np
from PIL import Image

from ganad_tf.data.image_files.deep_pixels import strips, with_eight_bits
from ganad_tf.data.image_files.formats import open_formats
from ganad_tf.data.image_files.reduced_jpeg import reduce_jpeg
from ganad_tf.errors import DataError

# `export/runtime.py` is one file that users copy to other machines, so it repeats these rules.
# tests/data/image_files/test_decoding.py checks that both give the same pixels.
MAX_PIXELS = 64_000_000
# Pillow's time to read a row grows with the square of its length: minutes for 15 million pixels.
MAX_SIDE = 200_000

_ORIENTATION = 0x112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_image(path: Path, max_pixels: int | None = None) -> Image.Image:
    """Opens an image file. An image of too many pixels is refused before it is decoded.

    Args:
        path: the file.
        max_pixels: the most pixels that an image may have (default: 64,000,000).

    Raises:
        DataError: if the image is too large, or the path is that of a pipe or a device.
        Exception: one of many types that Pillow raises, if the file is not a readable image.
    """
    limit = max_pixels or MAX_PIXELS
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for ever
        raise DataError("expected a file. Received: something else")
    if limit > (Image.MAX_IMAGE_PIXELS or limit):
        Image.MAX_IMAGE_PIXELS = None  # the user allows more than Pillow does
    try:
        image = Image.open(path, formats=open_formats())
    except Image.DecompressionBombError:
        raise DataError(_too_large(limit, "several times as many")) from None
    try:
        _check_size(image, limit)
    except DataError:
        image.close()
        raise
    return image


def prepare(
    image: Image.Image,
    image_shape: tuple[int, int, int],
    resize: str = "stretch",
    bit_depth: int = 16,
) -> np.ndarray:
    """Turns a Pillow image into pixels for the networks.

    - Of an animation or a file of several pages, the first one is used.
    - 16-bit values are scaled to 8 bits: 2 ** bit_depth - 1 becomes 255, larger values, too.
    - Transparent images are laid over black, the colour with which the networks pad images.
    - Palette, CMYK and other modes become grey (ITU-R 601 luma) or RGB.
    - The orientation in the EXIF data is applied, as viewers do.
    - Other sizes are scaled with Pillow's bilinear filter, which averages over all pixels when it
      shrinks an image.
    - A JPEG file that is not loaded yet is decoded smaller, as far as `jpeg_factor` says. So open
      it again for another shape.

    Args:
        image: an opened image.
        image_shape: (h, w, C), C = 1 (grey) or 3 (RGB).
        resize: how other shapes are brought to (h, w): `stretch` scales each side by itself, `pad`
            keeps the proportions and adds black margins; see `placed`.
        bit_depth: how many bits of 16-bit files are in use, 8 to 16.

    Returns:
        uint8 [h, w, C].

    Raises:
        DataError: if the image holds floats, signed or 32-bit numbers.
    """
    height, width, channels = image_shape
    reduce_jpeg(image, (height, width))
    deep = with_eight_bits(image, bit_depth)
    turn = orientation(image)
    if deep is not None:
        image = deep
    elif image.mode == "F":
        raise DataError("expected 8-bit or 16-bit pixels. Received: floating-point pixels")
    mode = "L" if channels == 1 else "RGB"
    image = _over_black(image, mode) if image.has_transparency_data else image.convert(mode)
    if turn in _TURNS:
        image = image.transpose(_TURNS[turn])
    left, top, wide, high = placed(image.size, (width, height), resize)
    if image.size != (wide, high):
        image = image.resize((wide, high), Image.Resampling.BILINEAR)
    pixels = np.zeros(image_shape, np.uint8)
    scaled = np.asarray(image).reshape(high, wide, channels)
    pixels[top : top + high, left : left + wide] = scaled
    return pixels


def orientation(image: Image.Image) -> int:
    """The orientation in the EXIF data, 1 (upright) to 8; 1 if there is none that can be read.

    It loads the image. Pillow itself turns TIFF files when it loads them.
    """
    image.load()
    try:
        if image.format == "TIFF":
            exif = image.getexif()
        else:
            exif = Image.Exif()
            exif.load(image.info.get("exif") or b"")
        value = exif.get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data raises anything; viewers then show the image as stored
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _over_black(image: Image.Image, mode: str) -> Image.Image:
    """A transparent image laid over black; a strip at a time, which saves most of the memory."""
    result = Image.new(mode, image.size)
    for box in strips(image):
        strip = image.crop(box).convert("RGBA")
        black = Image.new("RGBA", strip.size, (0, 0, 0, 255))
        result.paste(Image.alpha_composite(black, strip).convert(mode), box)
    return result


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
        names = ", ".join(open_formats())
        return f"expected an image ({names}). Received: other or damaged content"
    text = " ".join(str(error).split())
    if isinstance(error, DataError):
        return text
    return f"expected a whole image. Received: {type(error).__name__}: {text}"


def _check_size(image: Image.Image, limit: int) -> None:
    size = f"{image.width}x{image.height}"
    if image.width * image.height > limit:
        raise DataError(_too_large(limit, size))
    if max(image.size) > MAX_SIDE:
        raise DataError(f"expected sides of at most {MAX_SIDE:,} pixels. Received: {size}")


def _too_large(limit: int, received: str) -> str:
    return f"expected at most {limit:,} pixels (--max-pixels allows more). Received: {received}"
