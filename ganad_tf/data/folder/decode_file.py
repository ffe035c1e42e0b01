"""Decodes one image file and notes what it says besides its pixels."""

import errno
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ganad_tf.data.folder.thumbnails import THUMBNAIL, make_thumbnail, perceptual_hash
from ganad_tf.data.image_files.decoding import describe, open_image, orientation, prepare
from ganad_tf.data.image_files.deep_pixels import is_deep
from ganad_tf.data.image_statistics import measure_file
from ganad_tf.errors import DataError

_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True)
class Reading:
    """How image files are read; see `ganad_tf.data.image_files.decoding.prepare`.

    Args:
        image_size: S.
        channels: 1 (grey) or 3 (RGB); None for 1 if all images are grey, else 3.
        resize: `stretch` or `pad`.
        bit_depth: of 16-bit files; None for the smallest of 8, 10, 12, 14 and 16 bits that holds
            all their values.
        max_pixels: the most pixels that an image may have; None for the usual limit.
    """

    image_size: int
    channels: int | None = None
    resize: str = "stretch"
    bit_depth: int | None = None
    max_pixels: int | None = None


class ColourFoundError(Exception):
    """A coloured image was found while all images were decoded as grey."""


class DeepFoundError(Exception):
    """A 16-bit image was found while the bit depth was not known yet."""


def _black() -> np.ndarray:
    return np.zeros((THUMBNAIL, THUMBNAIL), np.uint8)


@dataclass(frozen=True)
class Decoded:
    """What became of one file; the fields are those of `cache.DecodedImages`, for one image."""

    pixels: np.ndarray | None
    is_grey: bool = True
    reason: str = ""
    reading: str = ""
    span: int = 0
    file_statistics: tuple[float, float, float] = (0.0, 0.0, 0.0)
    has_more: bool = False
    thumbnail: np.ndarray = field(default_factory=_black)
    hash: np.uint64 = np.uint64(0)  # noqa: RUF009 - immutable


def decode_one(path: Path, reading: Reading) -> Decoded:
    """Decodes one file.

    Raises:
        DeepFoundError: if it has 16 bits and the bit depth is not known.
        DataError: if the memory does not suffice.
        OSError: if the disk fails.
    """
    shape = (reading.image_size, reading.image_size, reading.channels or 1)
    rest = (reading.resize, reading.bit_depth or 16)
    try:
        with open_image(path, reading.max_pixels) as image:
            is_grey, deep = image.mode in _GREY_MODES, is_deep(image)
            if deep and reading.bit_depth is None:
                raise DeepFoundError
            pixels = prepare(image, shape, *rest)
            turned = image.format != "TIFF" and orientation(image) > 1
            statistics, has_more = measure_file(image), has_more_pages(image)
        if not is_grey:
            colours = pixels
            if reading.channels == 1:
                with open_image(path, reading.max_pixels) as image:
                    colours = prepare(image, (*shape[:2], 3), *rest)
            is_colour = (colours != colours[..., :1]).any()
    except DeepFoundError:
        raise
    except MemoryError:  # it says nothing about the file and must not be cached
        raise DataError(f"{path}: expected memory to read it. Received: none left") from None
    except Exception as error:  # Pillow's readers raise dozens of types on damaged files
        # An error of the disk says nothing about the file and must not be cached. EINVAL comes
        # from damaged files, in which Pillow seeks to impossible positions.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        return Decoded(None, reason=describe(error))
    changes = {
        "turned": turned,
        "deep colours": deep and not is_grey,
        "bit depth": deep and reading.bit_depth != 16,
    }
    small = make_thumbnail(pixels)
    return Decoded(
        pixels,
        is_grey or not is_colour,
        reading=", ".join(name for name, holds in changes.items() if holds),
        span=int(pixels.max()) - int(pixels.min()) + 1 if deep else 0,
        file_statistics=statistics,
        has_more=has_more,
        thumbnail=small,
        hash=perceptual_hash(small),
    )


def has_more_pages(image: Image.Image) -> bool:
    """Whether a loaded image is the first of several frames or pages of its file.

    Photos in which a phone keeps a second version of the picture (MPO) do not count.
    """
    try:
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except Exception:  # what follows the first frame may be damaged
        return False
