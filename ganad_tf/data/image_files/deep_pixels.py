"""Images of 16 bits: grey, coloured, with opacity or without, which Pillow reads in part only."""

import io
import sys
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageFile

from ganad_tf.data.image_files.formats import open_formats
from ganad_tf.errors import DataError

STRIP = 2**20  # pixels that are converted at a time
# Of 16-bit colours Pillow keeps the upper bytes. Read in the other byte order, it keeps the lower.
_FOREIGN = "B" if sys.byteorder == "little" else "L"
_SWAPPED = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA")
    for order, other in (("B", "L"), ("L", "B"), ("N", _FOREIGN))
}
# So it does with grey and opacity, which it reads as colours. There is no other order for them, but
# read as four values of 8 bits, all bytes are there: the lower ones are the second and the fourth.
_GREY_ALPHA = "LA;16B"
_SWAPPED[_GREY_ALPHA] = "RGBA"


def is_deep(image: Image.Image) -> bool:
    """Whether an image that is not loaded yet has 16 bits, grey or colour."""
    return image.mode.startswith("I") or _colour_order(image) is not None


def deep_rows(image: Image.Image) -> Iterator[np.ndarray] | None:
    """The values of a 16-bit image, which must not be loaded yet if it is coloured.

    Returns:
        int [h, W], or [h, W, 3 or 4] if it has colours or opacity, in 0..65535: some rows at a
        time, from top to bottom, because all of a large photo would take gigabytes. None for 8-bit
        images.

    Raises:
        DataError: if values are negative or larger, or the file is one that Pillow misreads.
    """
    _refuse_misread(image)
    order = _colour_order(image)
    if order is not None:
        return _colour_rows(image, order)
    return _grey_rows(image) if image.mode.startswith("I") else None


def _grey_rows(image: Image.Image) -> Iterator[np.ndarray]:
    for box in strips(image):
        values = np.asarray(image.crop(box)).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise DataError(
                "expected 8-bit or 16-bit pixels. "
                f"Received: values from {values.min()} to {values.max()}"
            )
        yield values


def _colour_rows(image: Image.Image, order: str) -> Iterator[np.ndarray]:
    with _opened_again(image) as other:
        _set_order(other, _SWAPPED[order])
        for box in strips(image):
            upper, lower = (np.asarray(one.crop(box)).astype(np.int32) for one in (image, other))
            if order == _GREY_ALPHA:
                lower = lower[..., [1, 1, 1, 3]]
            yield upper * 256 + lower


def strips(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Boxes of about a million pixels that make up an image, from top to bottom."""
    height = max(1, STRIP // max(1, image.width))
    for top in range(0, image.height, height):
        yield 0, top, image.width, min(top + height, image.height)


def with_eight_bits(image: Image.Image, bit_depth: int) -> Image.Image | None:
    """An image of 16 bits with 8 of them; None for other images."""
    rows, result, top = deep_rows(image), None, 0
    for values in rows or ():
        strip = Image.fromarray(_eight_bits(values, bit_depth))
        result = result or Image.new(strip.mode, image.size)
        result.paste(strip, (0, top))
        top += strip.height
    return result


def _refuse_misread(image: Image.Image) -> None:
    """Refuses TIFF files of which Pillow makes other numbers than they hold, without a word."""
    tags = getattr(image, "tag_v2", {})
    bits = np.atleast_1d(tags.get(258, 8))
    if 2 in np.atleast_1d(tags.get(339, 1)) and 8 in bits:
        raise DataError("expected 8-bit or 16-bit pixels. Received: signed 8-bit pixels")
    if 16 in bits and tags.get(262) == 0:
        raise DataError("expected 16-bit pixels of which 0 is black. Received: 0 is white")
    if 16 in bits and tags.get(284, 1) == 2 and tags.get(259, 1) == 1:
        raise DataError(
            "expected 16-bit colours pixel by pixel, or compressed. "
            "Received: plane by plane, uncompressed"
        )


def _colour_order(image: Image.Image) -> str | None:
    """The byte order of an image in 16-bit colours, as Pillow names it; None for other images."""
    for tile in getattr(image, "tile", ()):
        order = tile[3] if isinstance(tile[3], str) else (tile[3] or [None])[0]
        if order in _SWAPPED:
            return order
    return None


def _set_order(image: Image.Image, order: str) -> None:
    assert isinstance(image, ImageFile.ImageFile)
    image.tile = [
        tile._replace(args=order if isinstance(tile[3], str) else (order, *(tile[3] or ())[1:]))
        for tile in image.tile
    ]


def _opened_again(image: Image.Image) -> Image.Image:
    assert isinstance(image, ImageFile.ImageFile)
    file = image.fp
    source = io.BytesIO(file.getvalue()) if isinstance(file, io.BytesIO) else image.filename
    return Image.open(source, formats=open_formats())


def _eight_bits(values: np.ndarray, bit_depth: int) -> np.ndarray:
    """Scales 16-bit values by a table: 0..2 ** bit_depth - 1 to 0..255, rounded."""
    highest = 2**bit_depth - 1
    table = np.minimum((np.arange(65536) * 510 + highest) // (2 * highest), 255).astype(np.uint8)
    return table[values]
