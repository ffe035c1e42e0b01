"""Scores images with an exported model: numpy and onnxruntime alone, in ONE file to copy away.

    python runtime.py model.onnx photo.png folder/ --jsonl
    python runtime.py model.onnx folder/ --csv scores.csv --maps overlays/

or, as a library:

    from runtime import Scorer
    result = Scorer("model.onnx").score(images)    # uint8 [N, h, w, C]
    result["score"], result["is_anomaly"]

Reading image files needs Pillow 10.1 or newer; arrays do not need it. Exit codes: 0 all scored; 1
an image could not be scored or the model could not be used; 2 wrong usage; 3 all scored, and
`--monitor` found that scores or images have drifted.
"""

import argparse
import bisect
import collections
import contextlib
import csv
import hashlib
import io
import itertools
import json
import math
import os
import random
import secrets
import shlex
import stat
import sys
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
import onnxruntime

if TYPE_CHECKING:  # arrays do not need Pillow
    from PIL import Image, ImageFile

# Sixteen times a 4-megapixel photo. Larger files are refused before they are decoded.
MAX_PIXELS = 64_000_000
STRIP = 2**20  # pixels that are converted at a time
# Pillow's time to read a row grows with the square of its length: minutes for 15 million pixels.
MAX_SIDE = 200_000
# Measured on two cores: 32 to 128 are alike; small batches keep the memory of a worker small.
BATCH = 64
# Large images come in smaller batches: whose values fit into a core's cache, and no core waits.
BATCH_PIXELS = 2**16
# The kernels of a short or odd batch round differently, in a score's seventh digit. Batches of
# files are filled up to a multiple of this, so that no file's score depends on how many came along.
MULTIPLE = 16
# From so many pixels on, several threads answer one image sooner than one does.
SHARED_PIXELS = 2**14
OLDEST_PILLOW = (10, 1)
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "PPM", "WEBP", "JPEG2000")
HEIF = "HEIF"
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".pgm", ".ppm", ".pbm", ".jp2", ".j2k"),
)
# Read where the package pillow-heif is installed. Else each gets an error record.
HEIF_SUFFIXES = (".heic", ".heif")
# Images all the same, but of formats that are not read. Each gets an error record.
UNREAD_SUFFIXES = (
    *(".avif", ".jxl", ".dng", ".raw", ".cr2", ".cr3"),
    *(".nef", ".arw", ".orf", ".rw2", ".raf", ".psd", ".svg", ".exr", ".dcm"),
)
# Files of these names get a record.
NAMED_IMAGES = SUFFIXES + HEIF_SUFFIXES + UNREAD_SUFFIXES
# What systems and tools leave in folders, besides hidden names. In small letters.
LITTER = (
    *("__macosx", "@eadir", "@recycle", "#recycle", "$recycle.bin", "lost+found"),
    *("system volume information", "thumbs", "thumbs.db", "ehthumbs.db", "desktop.ini"),
)
RESIZE_MODES = ("stretch", "pad")
BIT_DEPTHS = (8, 10, 12, 14, 16)
# JPEG files can be decoded at an eighth, a quarter or half of their size. With just twice the
# model's sides left, pixels of ten pictures of scikit-image changed by 0.1 to 1.8 grey levels in
# the mean, 99 % by at most 7.
JPEG_FACTORS, JPEG_ROOM, JPEG_FORMATS = (8, 4, 2), 2, ("JPEG", "MPO")
ORIENTATION = 0x112  # the EXIF tag
# Of 16-bit colours Pillow keeps the upper bytes. Read in the other byte order, it keeps the lower.
FOREIGN = "B" if sys.byteorder == "little" else "L"
SWAPPED = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA")
    for order, other in (("B", "L"), ("L", "B"), ("N", FOREIGN))
}
# So it does with grey and opacity, which it reads as colours. There is no other order for them, but
# read as four values of 8 bits, all bytes are there: the lower ones are the second and the fourth.
GREY_ALPHA = "LA;16B"
SWAPPED[GREY_ALPHA] = "RGBA"
# name -> (words, relative margin, absolute margin). A median that differs from training's by less
# than the larger margin does not matter, however sure the difference is. The relative margin is a
# share of the training median, the absolute one has the statistic's unit.
STATISTICS = {
    "brightness": ("brightness", 0.05, 2.0),
    "contrast": ("contrast", 0.10, 1.0),
    "sharpness": ("sharpness", 0.10, 0.02),
    "red": ("red / brightness", 0.03, 0.01),
    "blue": ("blue / brightness", 0.03, 0.01),
    "size": ("longer side in pixels", 0.10, 1.0),
    "aspect": ("width / height", 0.05, 0.01),
    "saturation": ("saturation", 0.10, 2.0),
}
FILE_STATISTICS = ("size", "aspect", "saturation")
# Standard deviations of the rank sum: by chance more in 6 of 10 million comparisons.
MAX_DEVIATION = 5.0
# Fewer training images do not show how far normal images spread.
MIN_TRAINING = 20
# Evidence of drift at which the monitor alarms. Without drift it is ever reached with a chance of
# at most 1 / LIMIT.
LIMIT = 100.0
MIN_KNOWN = 20  # fewer normal images hardly show a drift
SCORE = "score"
# Part of the chance of a false alarm that the score has; the statistics share the rest.
SCORE_SHARE = 0.5
# Shares of the lowest and the highest values, where anomalies are to be expected. They are judged
# apart from the values between. Anomalies score high; their statistics may be anything.
SCORE_TAILS, STATISTIC_TAILS = (0.0, 0.1), (0.05, 0.05)
# Share of the images that may be anomalies without counting as drift.
ANOMALY_SHARE = 0.05
MAX_GAPS = 100  # between known values; more would only make the state larger
# Bets, from a strong drift to a weak one: powers of the p-values, and by how much of the rest the
# share of images in the tails has grown.
POWERS, GROWTHS = (0.3, 0.5, 0.7, 0.85), (0.8, 0.4, 0.15, 0.05)
MAX_WEALTH = 1e250
STATE_FORMAT = "ganad monitor 1"
# The last images, whose statistics tell what has changed; the last ones of these count alone, too.
RECENT, WINDOWS = 200, (25, 50, 100, 200)
# Standard deviations of the rank sum from which a change is named once the scores have drifted.
MIN_CHANGE = 3.5
DRIFTED = 3  # exit code
FIELDS = ("path", "score", "probability", "is_anomaly", "map", "error")
# Dark violet, red, orange, pale yellow: dark where normal, bright where not, also in grey print.
HEAT = ((0, 0, 0), (60, 10, 90), (180, 40, 80), (250, 140, 20), (255, 250, 170))
# Bright green, which is no colour of the heat. One pixel thick for so many pixels of the image's
# shorter side, so that a large photo's outlines can be seen.
OUTLINE, OUTLINE_SHARE = (0, 255, 130), 300

# Outputs for which no map is computed.
DECISIONS = ("score", "probability", "is_anomaly")
# Numbers of fields in onnx.proto.
MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_CONSTANT, GRAPH_OUTPUT = 1, 5, 12
TENSOR_NAME, VALUE_NAME = 8, 1
NODE_INPUT, NODE_OUTPUT, NODE_ATTRIBUTE = 1, 2, 5
ATTRIBUTE_GRAPHS = (6, 11)

PathName = str | os.PathLike[str]


class ScoringError(ValueError):
    """A model or image cannot be used; the message says what was expected and what came."""

    exit_code = 1


class SettingError(ScoringError):
    """A threshold or rate makes no sense."""

    exit_code = 2


def conformal_threshold(
    normal_scores: Sequence[float] | np.ndarray, max_false_alarms: float
) -> float:
    """The lowest threshold that promises at most this share of false alarms on new normal images.

    Args:
        normal_scores: scores of n normal images that the model was not trained on.
        max_false_alarms: in (0, 1); at least 1 / (n + 1).

    Source: split conformal prediction (Vovk et al. 2005); the k-th smallest of the n scores with
    k = ceil((n + 1)(1 - max_false_alarms)).
    """
    count = len(normal_scores)
    if not 0 < max_false_alarms < 1:
        raise SettingError(f"max_false_alarms must be in (0, 1). Received: {max_false_alarms}")
    # The tolerance keeps (n + 1)(1 - a) = 99.00000000000001 from becoming k = 100.
    k = math.ceil((count + 1) * (1 - max_false_alarms) - 1e-9)
    if k > count:
        # To two digits, upwards: what is named here must be accepted.
        scale = 10 ** (1 - math.floor(math.log10(1 / (count + 1))))
        lowest = math.ceil(scale / (count + 1) - 1e-9) / scale
        raise SettingError(
            f"max_false_alarms must be at least {lowest:.2g} with the model's {count} "
            f"normal scores. Received: {max_false_alarms}"
        )
    return float(np.sort(np.asarray(normal_scores))[k - 1])


def prepare(
    image: "Image.Image",
    image_shape: tuple[int, int, int] | tuple[None, None, int],
    resize: str = "stretch",
    bit_depth: int = 16,
    max_pixels: int | None = None,
) -> np.ndarray:
    """Turns a Pillow image into what the model takes. Training on folders does the same.

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
        image: a `PIL.Image.Image`, not loaded yet if it is a file in 16-bit colours.
        image_shape: (h, w, C), C = 1 (grey) or 3 (RGB). Without h and w, (None, None, C), the
            image keeps its size.
        resize: how other shapes are brought to (h, w): `stretch` scales each side by itself, `pad`
            keeps the proportions and adds black margins; see `placed`.
        bit_depth: how many bits of 16-bit files are in use, 8 to 16.
        max_pixels: the most pixels that an image may have (default: 64,000,000).

    Returns:
        uint8 [h, w, C].

    Raises:
        ScoringError: if the image is too large or holds floats, signed or 32-bit numbers.
    """
    from PIL import Image

    height, width, channels = image_shape
    _check_size(image, max_pixels or MAX_PIXELS)
    if height is not None and width is not None:
        reduce_jpeg(image, (height, width))
    deep = _deep_image(image, bit_depth)
    turn = orientation(image)
    if deep is not None:
        image = deep
    elif image.mode == "F":
        raise ScoringError("expected 8-bit or 16-bit pixels. Received: floating-point pixels")
    mode = "L" if channels == 1 else "RGB"
    image = _over_black(image, mode) if image.has_transparency_data else image.convert(mode)
    if turn > 1:
        image = image.transpose(_turns()[turn])
    if height is None or width is None:
        width, height = image.size
    left, top, *size = placed(image.size, (width, height), resize)
    if image.size != tuple(size):
        image = image.resize(size, Image.Resampling.BILINEAR)
    pixels = np.zeros((height, width, channels), np.uint8)
    pixels[top : top + size[1], left : left + size[0]] = np.asarray(image).reshape(
        *size[::-1], channels
    )
    return pixels


def jpeg_factor(size: tuple[int, int], frame: tuple[int, int]) -> int:
    """How many times smaller a JPEG file is decoded than it is: 8, 4, 2 or 1.

    The largest factor that divides both sides and leaves each at least twice as long as the longer
    side of the frame.

    Args:
        size, frame: (width, height) of the image and of what it is brought to, in any order.
    """
    least = JPEG_ROOM * max(frame)
    for factor in JPEG_FACTORS:
        if all(side % factor == 0 and side // factor >= least for side in size):
            return factor
    return 1


def reduce_jpeg(image: "Image.Image", frame: tuple[int, int]) -> None:
    """Has an image decoded smaller, if it is a JPEG file that is not loaded yet.

    Args:
        image: an opened image.
        frame: (width, height) of what it is brought to, in any order.
    """
    factor = jpeg_factor(image.size, frame)
    # Readers of other formats would take a thumbnail, which is another picture.
    if factor > 1 and image.format in JPEG_FORMATS:
        image.draft(None, (image.width // factor, image.height // factor))


def file_size(image: "Image.Image") -> tuple[int, int]:
    """(width, height) of the file of an image, of which `prepare` may have decoded less."""
    factor = 1
    if image.format in JPEG_FORMATS:  # Pillow notes the factor here, and nothing if it is 1
        factor = (*getattr(image, "decoderconfig", ()), 1)[0]
    return image.width * factor, image.height * factor


def orientation(image: "Image.Image") -> int:
    """The orientation in the EXIF data, 1 (upright) to 8; 1 if there is none that can be read.

    It loads the image. Pillow itself turns TIFF files when it loads them.
    """
    from PIL import Image

    image.load()
    try:
        if image.format == "TIFF":
            exif = image.getexif()
        else:
            exif = Image.Exif()
            exif.load(image.info.get("exif") or b"")
        value = exif.get(ORIENTATION, 1)
    except Exception:  # damaged EXIF data raises anything; viewers then show the image as stored
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _turns() -> "dict[int, Image.Transpose]":
    from PIL.Image import Transpose

    return {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }


def deep_rows(image: "Image.Image") -> Iterator[np.ndarray] | None:
    """The values of a 16-bit image, which must not be loaded yet if it is coloured.

    Returns:
        int [h, W], or [h, W, 3 or 4] if it has colours or opacity, in 0..65535: some rows at a
        time, from top to bottom, because all of a large photo would take gigabytes. None for 8-bit
        images.

    Raises:
        ScoringError: if values are negative or larger.
    """
    _refuse_misread(image)
    order = _colour_order(image)
    if order is not None:
        return _colour_rows(image, order)
    return _grey_rows(image) if image.mode.startswith("I") else None


def _grey_rows(image: "Image.Image") -> Iterator[np.ndarray]:
    for box in _strips(image):
        values = np.asarray(image.crop(box)).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ScoringError(
                "expected 8-bit or 16-bit pixels. "
                f"Received: values from {values.min()} to {values.max()}"
            )
        yield values


def _colour_rows(image: "Image.Image", order: str) -> Iterator[np.ndarray]:
    from PIL import Image, ImageFile

    assert isinstance(image, ImageFile.ImageFile)  # no others have tiles
    file = image.fp
    source = io.BytesIO(file.getvalue()) if isinstance(file, io.BytesIO) else image.filename
    with Image.open(source, formats=open_formats()) as other:
        other.tile = [_with_order(tile, SWAPPED[order]) for tile in other.tile]
        for box in _strips(image):
            upper, lower = (np.asarray(one.crop(box)).astype(np.int32) for one in (image, other))
            if order == GREY_ALPHA:
                lower = lower[..., [1, 1, 1, 3]]
            yield upper * 256 + lower


def _strips(image: "Image.Image") -> Iterator[tuple[int, int, int, int]]:
    """Boxes of about a million pixels that make up an image, from top to bottom."""
    height = max(1, STRIP // max(1, image.width))
    for top in range(0, image.height, height):
        yield 0, top, image.width, min(top + height, image.height)


def _deep_image(image: "Image.Image", bit_depth: int) -> "Image.Image | None":
    """An image of 16 bits with 8 of them; None for other images."""
    from PIL import Image

    rows, result, top = deep_rows(image), None, 0
    for values in rows or ():
        strip = Image.fromarray(_eight_bits(values, bit_depth))
        result = result or Image.new(strip.mode, image.size)
        result.paste(strip, (0, top))
        top += strip.height
    return result


def _over_black(image: "Image.Image", mode: str) -> "Image.Image":
    """A transparent image laid over black; a strip at a time, which saves most of the memory."""
    from PIL import Image

    result = Image.new(mode, image.size)
    for box in _strips(image):
        strip = image.crop(box).convert("RGBA")
        black = Image.new("RGBA", strip.size, (0, 0, 0, 255))
        result.paste(Image.alpha_composite(black, strip).convert(mode), box)
    return result


def _refuse_misread(image: "Image.Image") -> None:
    """Refuses TIFF files of which Pillow makes other numbers than they hold, without a word."""
    tags = getattr(image, "tag_v2", {})
    bits = np.atleast_1d(tags.get(258, 8))
    if 2 in np.atleast_1d(tags.get(339, 1)) and 8 in bits:
        raise ScoringError("expected 8-bit or 16-bit pixels. Received: signed 8-bit pixels")
    if 16 in bits and tags.get(262) == 0:
        raise ScoringError("expected 16-bit pixels of which 0 is black. Received: 0 is white")
    if 16 in bits and tags.get(284, 1) == 2 and tags.get(259, 1) == 1:
        raise ScoringError(
            "expected 16-bit colours pixel by pixel, or compressed. "
            "Received: plane by plane, uncompressed"
        )


def _colour_order(image: "Image.Image") -> str | None:
    """The byte order of an image in 16-bit colours, as Pillow names it; None for other images."""
    for tile in getattr(image, "tile", ()):
        order = tile[3] if isinstance(tile[3], str) else (tile[3] or [None])[0]
        if order in SWAPPED:
            return order
    return None


def _with_order(tile: Any, order: str) -> Any:
    """A tile, which Pillow holds as a plain or as a named tuple, read in another byte order."""
    args = order if isinstance(tile[3], str) else (order, *tile[3][1:])
    return tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:3], args)


def _eight_bits(values: np.ndarray, bit_depth: int) -> np.ndarray:
    """Scales 16-bit values by a table: 0..2 ** bit_depth - 1 to 0..255, rounded."""
    highest = 2**bit_depth - 1
    table = np.minimum((np.arange(65536) * 510 + highest) // (2 * highest), 255).astype(np.uint8)
    return table[values]


def placed(
    size: tuple[int, int], frame: tuple[int, int], resize: str = "stretch"
) -> tuple[int, int, int, int]:
    """Where an image comes to lie in its frame.

    Args:
        size: (width, height) of the image.
        frame: (width, height) that it must fill.
        resize: `stretch` fills the frame. `pad` takes the largest centred rectangle with the
            image's proportions, rounded to whole pixels. Small images are enlarged.

    Returns:
        left, top, width, height.
    """
    (width, height), (wide, high) = size, frame
    if resize == "pad" and width * high >= height * wide:
        high = max(1, (2 * height * wide + width) // (2 * width))
    elif resize == "pad":
        wide = max(1, (2 * width * high + height) // (2 * height))
    return (frame[0] - wide) // 2, (frame[1] - high) // 2, wide, high


def reads_heif() -> bool:
    """Whether HEIC files can be read: with the package pillow-heif."""
    try:
        import pillow_heif
    except ImportError:
        return False
    from PIL import Image

    if HEIF not in Image.OPEN:
        pillow_heif.register_heif_opener()
    return True


def open_formats() -> tuple[str, ...]:
    """The formats that can be read, as Pillow names them."""
    return (*FORMATS, HEIF) if reads_heif() else FORMATS


def open_image(file: PathName | bytes, max_pixels: int | None = None) -> "ImageFile.ImageFile":
    """Opens a file name or a file's bytes with Pillow, refusing huge images before decoding."""
    check_pillow()
    from PIL import Image, UnidentifiedImageError

    limit = max_pixels or MAX_PIXELS
    received = "other or damaged content"
    source: PathName | io.BytesIO
    if isinstance(file, bytes):
        source = io.BytesIO(file)
    else:
        source = file
        # Opening a pipe would wait for ever.
        mode = os.stat(file).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "something else"
            raise ScoringError(f"expected a file. Received: {kind}")
        suffix = os.path.splitext(file)[1].lower()
        if suffix in UNREAD_SUFFIXES:
            received += f" ({suffix}; save it as PNG or JPEG)"
        elif suffix in HEIF_SUFFIXES and not reads_heif():
            received += f" ({suffix}; save it as PNG or JPEG, or pip install pillow-heif)"
    if limit > (Image.MAX_IMAGE_PIXELS or limit):
        Image.MAX_IMAGE_PIXELS = None  # the user allows more than Pillow does
    try:
        image = Image.open(source, formats=open_formats())
    except UnidentifiedImageError:
        raise ScoringError(
            f"expected an image ({', '.join(open_formats())}). Received: {received}"
        ) from None
    except Image.DecompressionBombError:
        raise ScoringError(_too_large(limit, "several times as many")) from None
    try:
        _check_size(image, limit)
    except ScoringError:
        image.close()
        raise
    return image


def _check_size(image: "Image.Image", limit: int) -> None:
    size = f"{image.width}x{image.height}"
    if image.width * image.height > limit:
        raise ScoringError(_too_large(limit, size))
    if max(image.size) > MAX_SIDE:
        raise ScoringError(f"expected sides of at most {MAX_SIDE:,} pixels. Received: {size}")


def _too_large(limit: int, received: str) -> str:
    return f"expected at most {limit:,} pixels (--max-pixels allows more). Received: {received}"


def check_pillow() -> None:
    """Checks that image files can be read.

    Raises:
        ScoringError: if Pillow is missing or too old.
    """
    needed = ".".join(map(str, OLDEST_PILLOW))
    try:
        import PIL
    except ImportError:
        raise ScoringError(
            f"reading image files needs Pillow {needed} or newer: pip install 'pillow>={needed}'. "
            "Received: none"
        ) from None
    version = tuple(int(part) for part in PIL.__version__.split(".")[:2] if part.isdecimal())
    if version < OLDEST_PILLOW:
        raise ScoringError(
            f"reading image files needs Pillow {needed} or newer: pip install 'pillow>={needed}'. "
            f"Received: Pillow {PIL.__version__}"
        )


def is_litter(name: str) -> bool:
    """Whether a file or folder was left by the system or a tool, and is no user's image.

    Hidden names are: `._a.png`, `.Trash-1000` and `.ipynb_checkpoints` among them.
    """
    return name.startswith(".") or name.lower() in LITTER


def measure_pixels(images: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of images as the model gets them.

    Args:
        images: uint8 [N, h, w, C], C = 1 (grey) or 3 (RGB).

    Returns:
        Name -> float64 [N], rounded to 4 decimals: `brightness`, the mean over all pixels and
        channels, 0 to 255; `contrast`, the standard deviation of the grey pixels; `sharpness`, the
        root mean square of the steps between neighbouring grey pixels, divided by the contrast;
        and of coloured images `red` and `blue`, the means of these channels divided by the
        brightness. Of a uniform image the sharpness is 0, of a black one `red` and `blue` are 1.
    """
    columns: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(images), 16):  # as floats, images take four times the memory
        part = images[start : start + 16].astype(np.float32)
        means = part.mean(axis=(1, 2), dtype=np.float64)
        grey = part[..., 0] if part.shape[-1] == 1 else part.mean(axis=-1)
        brightness, contrast = means.mean(axis=-1), grey.std(axis=(1, 2), dtype=np.float64)
        across, down = np.diff(grey, axis=2), np.diff(grey, axis=1)
        count = max(1, across[0].size + down[0].size)
        energy = sum(
            np.square(steps).sum(axis=(1, 2), dtype=np.float64) for steps in (across, down)
        )
        sharpness = np.sqrt(energy / count) / np.maximum(contrast, 1e-9) * (contrast > 1e-3)
        measured = {"brightness": brightness, "contrast": contrast, "sharpness": sharpness}
        if part.shape[-1] == 3:
            for name, channel in (("red", 0), ("blue", 2)):
                bright = np.maximum(brightness, 1e-9)
                measured[name] = np.where(brightness > 0, means[:, channel] / bright, 1.0)
        for name, column in measured.items():
            columns.setdefault(name, []).append(column)
    return {name: np.round(np.concatenate(parts), 4) for name, parts in columns.items()}


def measure_file(image: "Image.Image") -> tuple[float, float, float]:
    """Statistics of an image file before it is brought to the model's size.

    Args:
        image: an opened image; it is loaded.

    Returns:
        `size`, the longer side in pixels; `aspect`, width / height as it is shown; `saturation`,
        the mean difference between the largest and the smallest channel, 0 (grey) to 255, after
        the image was averaged to 32x32 pixels. Single pixels would not do: their noise in colour
        depends on the size at which a JPEG file was decoded.
    """
    width, height = shown_size(image)
    saturation = 0.0
    if image.mode[0] not in "1LIF":
        colours = image.convert("RGBA") if image.mode == "RGBa" else image
        colours = colours if colours.mode == "RGB" else colours.convert("RGB")
        channels = np.asarray(colours.resize((32, 32), 2), np.int16)  # bilinear
        saturation = float((channels.max(axis=-1) - channels.min(axis=-1)).mean())
    return max(width, height), round(width / height, 4), round(saturation, 4)


def shown_size(image: "Image.Image") -> tuple[int, int]:
    """Width and height of an opened image as viewers show it, turned by its EXIF data."""
    width, height = file_size(image)
    return (height, width) if orientation(image) >= 5 else (width, height)


def rank_among(values: np.ndarray, percentiles: np.ndarray) -> np.ndarray:
    """The share of training images below each value, in [0, 1]; half of the equal ones count.

    Args:
        values: float [N].
        percentiles: float [101], ascending; the 0th, 1st ... 100th of the training images.
    """
    below, up_to = (np.searchsorted(percentiles, values, side) for side in ("left", "right"))
    return (below + up_to) / (2 * len(percentiles))


def find_shifts(
    ranges: Mapping[str, Any], values: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Which statistics of some images differ from those of the normal training images.

    A statistic is shifted if its median differs from the training median by more than its margin
    (see `STATISTICS`), and at least one of these holds:

    - The ranks of the images among the training images are higher or lower than chance allows:
      their mean is more than 5 standard deviations from one half (rank sum test of Wilcoxon, Mann
      and Whitney). That takes at least 9 images.
    - The median lies outside of all training images, by more than they are apart.

    Args:
        ranges: of the training images, see `fit_ranges`.
        values: name -> float [N], from `measure_pixels` and `measure_file`.

    Returns:
        For each shifted statistic its `name`, the `median` of the images, the `training` median,
        `low` and `high`, the 1st and 99th percentile in training, and `outside`, the number of
        images that are not between those two.
    """
    shifts = []
    known = ranges["images"]
    for name, percentiles in ranges["percentiles"].items():
        if name not in STATISTICS or not len(values.get(name, ())):
            continue
        usual, new = np.asarray(percentiles, np.float64), np.asarray(values[name], np.float64)
        median, training = float(np.median(new)), float(usual[50])
        _, relative, absolute = STATISTICS[name]
        margin = max(relative * abs(training), absolute)
        if abs(median - training) <= margin:
            continue
        deviation = math.sqrt((known + len(new) + 1) / (12 * known * len(new)))
        is_sure = abs(rank_among(new, usual).mean() - 0.5) > MAX_DEVIATION * deviation
        beyond = max(usual[0] - median, median - usual[-1])
        is_far = known >= MIN_TRAINING and beyond > max(usual[-1] - usual[0], margin)
        if is_sure or is_far:
            low, high = float(usual[1]), float(usual[99])
            outside = int(np.count_nonzero((new < low) | (new > high)))
            found = {"name": name, "median": median, "training": training, "outside": outside}
            shifts.append({**found, "low": low, "high": high})
    return shifts


def describe_shifts(
    shifts: list[dict[str, Any]], images: int, known: int, source: str = "training"
) -> str:
    """One line for a person, empty if nothing is shifted.

    Args:
        shifts: what `find_shifts` returned.
        images: how many images were compared.
        known: the number of training images.
        source: what the model took the ranges from: `training`, or a later `recalibration`.
    """
    if not shifts:
        return ""
    parts = [
        f"{STATISTICS[shift['name']][0]} {shift['median']:.4g} ({shift['training']:.4g}; "
        f"{shift['low']:.4g} to {shift['high']:.4g}; {shift['outside']:,} outside)"
        for shift in shifts
    ]
    which = "1 image differs" if images == 1 else f"{images:,} images differ"
    return (
        f"{which} from the {known:,} normal {source} images: {', '.join(parts)}. Medians, in "
        f"brackets those of the {source} images, their middle 98 %, and how many images lie "
        f"outside of it. Expect other rates of false alarms and misses than in {source}, unless "
        "most of the images are anomalies"
    )


class InputShift:
    """Compares the images that are scored with the normal training images, in constant memory.

    Args:
        ranges: of the training images, `Scorer.ranges`; None if the model does not have them.
        limit: statistics of so many images are kept, drawn evenly from all.

    Attributes:
        rows: the statistics of the images that are kept, in the order of the model's ranges; NaN
            where one is not known.
        arrived: receives the statistics of each image, if it is a deque.
        seen: the number of images.
        elsewhere: how many more images were seen elsewhere, of which only a sample was added.
    """

    def __init__(self, ranges: Mapping[str, Any] | None, limit: int = 10_000):
        self.ranges, self.limit = ranges, limit
        self.rows: list[Sequence[float]] = []
        self.arrived: collections.deque[Sequence[float]] | None = None
        self.seen = self.elsewhere = 0
        self._random = random.Random(0)

    def add(self, rows: Iterable[Sequence[float]]) -> None:
        """Adds images.

        Args:
            rows: of each image its statistics.
        """
        for row in rows:
            if self.arrived is not None:
                self.arrived.append(row)
            self.seen += 1
            place = len(self.rows)
            if place < self.limit:
                self.rows.append(row)
            elif (place := self._random.randrange(self.seen)) < self.limit:
                self.rows[place] = row

    def find(self) -> list[dict[str, Any]]:
        """Which statistics are shifted; see `find_shifts`."""
        if self.ranges is None or not self.rows:
            return []
        columns = zip(self.ranges["percentiles"], np.asarray(self.rows).T, strict=True)
        known = {name: column[~np.isnan(column)] for name, column in columns}
        return find_shifts(self.ranges, known)

    def describe(self) -> str:
        """One line that says what is shifted, with the numbers; empty if nothing is."""
        text = describe_shifts(self.find(), len(self.rows), *_origin(self.ranges))
        total = self.seen + self.elsewhere
        if text and total > len(self.rows):
            text += f" ({len(self.rows):,} of {total:,} images were compared)"
        return text


class Scorer:
    """An exported model.

    Args:
        path: `model.onnx` or `model.int8.onnx`, as written by `ganad export`.
        threads: images are scored in batches on this many threads; by default, one for each core
            that this process may use. Each batch runs on one thread, which is up to 1.5 times as
            fast as several threads sharing each operator. They share the operators of a single
            large image. Further sessions are opened when they are first needed: for one large
            image, and for maps.
        max_pixels: image files of more pixels are refused (default: the limit in training).

    Attributes:
        image_shape: (h, w, C) of the images.
        threshold: an image is an anomaly if its score is greater.
        normal_name: what the model takes for normal.
        normal_scores: scores of the normal images that the threshold rests on, sorted.
        map_colour_range: the fixed (low, high) of anomaly maps.
        pixel_threshold: a pixel is marked if its map value is greater; None in files of earlier
            versions.
        normal_peaks: the largest map value of each such image, sorted; empty without a
            pixel threshold.
        resize: how files of other shapes are brought to (h, w); see `prepare`.
        bit_depth: how many bits of 16-bit files are in use; see `prepare`.
        max_pixels: image files of more pixels are refused.
        ranges: of simple statistics of the normal training images, see `find_shifts`; None in files
            of earlier versions.
        metadata: everything stored in the file, as strings.

    Raises:
        ScoringError: if the file is not such a model.
    """

    def __init__(self, path: PathName, threads: int | None = None, max_pixels: int | None = None):
        self.threads = threads or available_cores()
        path = os.fspath(path)
        if not os.path.isfile(path):
            received = "no such file"
            if os.path.isdir(path):
                received = f"a folder; name the model in it, {os.path.join(path, 'model.onnx')}"
            raise ScoringError(f"{path}: expected an ONNX file. Received: {received}")
        self._sessions: dict[tuple[bool, int], onnxruntime.InferenceSession] = {}
        self._opening = threading.Lock()
        try:
            with open(path, "rb") as file:
                # Kept, since the file may be replaced before another session is opened.
                self._model = file.read()
            session = self._session_for(DECISIONS)
            self.metadata = dict(session.get_modelmeta().custom_metadata_map)
        except Exception as error:  # onnxruntime raises a dozen types of its own
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ScoringError(f"{path}: expected an ONNX model. Received: {reason}") from None
        try:
            height, width, channels = map(int, self.metadata["image_shape"].split(","))
            self.image_shape = (height, width, channels)
            self.threshold = float(self.metadata["threshold"])
            self.normal_name = self.metadata["normal_name"]
            self.normal_scores = np.asarray(json.loads(self.metadata["normal_scores"]))
            low, high = map(float, self.metadata["map_colour_range"].split(","))
            self.map_colour_range = (low, high)
            # Earlier files have no pixel threshold.
            pixel = self.metadata.get("pixel_threshold")
            self.pixel_threshold = None if pixel is None else float(pixel)
            self.normal_peaks = np.asarray(json.loads(self.metadata.get("normal_peaks", "[]")))
            # Earlier files call it `fit`; still older ones do not say it, and were all stretched.
            resize = self.metadata.get("resize", self.metadata.get("fit", "stretch"))
            self.resize = RESIZE_MODES[RESIZE_MODES.index(resize)]
            # Earlier files do not say these two.
            depth = int(self.metadata.get("bit_depth", 16))
            self.bit_depth = BIT_DEPTHS[BIT_DEPTHS.index(depth)]
            self.max_pixels = max_pixels or int(self.metadata.get("max_pixels", MAX_PIXELS))
            self.ranges = _parse_ranges(self.metadata.get("image_ranges", "null"))
        except (KeyError, ValueError) as error:
            raise ScoringError(
                f"{path}: expected a model written by `ganad export`, with its metadata. "
                f"Received: {type(error).__name__} {error}"
            ) from None
        self._pool = ThreadPoolExecutor(self.threads)
        fitting = max(1, BATCH_PIXELS // (height * width))
        self._batch = min(BATCH, 2 ** int(math.log2(fitting)))
        self._multiple = min(MULTIPLE, self._batch)

    def threshold_for(self, max_false_alarms: float) -> float:
        """The threshold for at most this share of false alarms; see `conformal_threshold`."""
        return conformal_threshold(self.normal_scores, max_false_alarms)

    def check_regions(self, pixel_threshold: float | None = None) -> None:
        """Checks that pixels can be marked.

        Args:
            pixel_threshold: instead of the model's.

        Raises:
            SettingError: if neither is a number.
        """
        if check_threshold(pixel_threshold) is None and self.pixel_threshold is None:
            raise _no_mask("a pixel threshold")

    def pixel_threshold_for(self, max_marked: float) -> float:
        """The pixel threshold for at most this share of normal images with a marked pixel."""
        if self.pixel_threshold is None:
            raise _no_mask("a pixel threshold")
        return conformal_threshold(self.normal_peaks, max_marked)

    def score(
        self,
        images: Any,
        threshold: float | None = None,
        outputs: Sequence[str] = ("score", "probability", "is_anomaly"),
    ) -> dict[str, np.ndarray]:
        """Scores images; no result depends on the other images.

        Args:
            images: uint8 [N, h, w, C] with N at least 1; [N, h, w] will do for grey models.
            threshold: decide by this one instead of the model's; scores stay what they are.
            outputs: which of `score` float32 [N], `probability` float32 [N], `is_anomaly` bool
                [N], `anomaly_map` float32 [N, h, w], `mask` bool [N, h, w], the marked pixels, and
                `reconstruction` uint8 [N, h, w, C].

        Raises:
            ScoringError: if the images are of another type or shape, or the threshold is NaN.
        """
        images = _check_images(images, self.image_shape)
        threshold = check_threshold(threshold)
        names = list(dict.fromkeys(["score", *outputs]))
        height, width, _ = self.image_shape
        # A small image is as fast on one thread.
        shared = len(images) == 1 and height * width >= SHARED_PIXELS
        session = self._session_for(names, self.threads if shared else 1)
        known = [output.name for output in session.get_outputs()]
        if "mask" in names and "mask" not in known:
            raise _no_mask("the output mask")
        if not set(names) <= set(known):
            raise ScoringError(f"outputs must be among {', '.join(known)}. Received: {outputs}")
        each = -(-len(images) // self.threads)
        each = min(self._batch, each + -each % self._multiple)
        chunks = [images[start : start + each] for start in range(0, len(images), each)]
        # One batch is scored right here: handing it to a thread would only cost time.
        spread = map if len(chunks) == 1 else self._pool.map
        found = spread(lambda chunk: session.run(names, {"images": chunk}), chunks)
        columns = zip(*found, strict=True)
        result = dict(zip(names, map(np.concatenate, columns), strict=True))
        if threshold is not None:
            result["is_anomaly"] = result["score"] > threshold
        return {name: result[name] for name in outputs}

    def score_files(
        self,
        paths: Iterable[PathName | tuple[PathName | bytes, str]],
        threshold: float | None = None,
        maps: PathName | None = None,
        shift: "InputShift | None" = None,
        regions: bool = False,
        pixel_threshold: float | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Scores image files, yielding one record each, in order, in constant memory.

        Args:
            paths: file names, or pairs (file name or a file's bytes, name of the map below `maps`);
                any iterable.
            threshold: as for `score`.
            maps: folder for overlays (PNG, at the input's resolution) of the anomaly maps. Regions
                are outlined, if there is a pixel threshold.
            shift: receives statistics of the images that were scored.
            regions: whether records have `regions`; see `find_regions` and `add_file_boxes`.
            pixel_threshold: mark pixels above this one instead of the model's.

        Yields:
            dicts with `path` (of bytes: the name) and either `score`, `probability`, `is_anomaly`
            (and `regions` and `map`) or `error`.

        Raises:
            SettingError: if a threshold is NaN, or regions are asked for and there is none.
        """
        threshold = check_threshold(threshold)
        limit = self.pixel_threshold if pixel_threshold is None else pixel_threshold
        wanted = _Wanted(threshold, maps, check_threshold(limit), regions)
        if regions:
            self.check_regions(pixel_threshold)
        check_pillow()
        pairs = _with_map_names(paths, unique=maps is not None)
        pending: collections.deque = collections.deque()
        # A bounded queue of batches: reading, decoding and scoring one is one task, so that cores
        # stay busy and memory does not grow with the folder.
        measured = [] if shift is None or shift.ranges is None else [*shift.ranges["percentiles"]]

        def finished() -> list[dict[str, Any]]:
            records, rows = pending.popleft().result()
            if shift is not None:
                shift.add(rows)
            return records

        while batch := list(itertools.islice(pairs, self._batch)):
            pending.append(self._pool.submit(_score_batch, self, batch, wanted, measured))
            if len(pending) > self.threads:
                yield from finished()
        while pending:
            yield from finished()

    def read(self, file: PathName | bytes) -> np.ndarray:
        """Reads an image file, given by name or as bytes, as the model takes it: uint8 [h, w, C].

        Raises:
            ScoringError: if it is no image that can be read.
            Exception: of many types, which Pillow raises for damaged files.
        """
        return self._read(file, measured=False)[0]

    def describe_shift(self, images: np.ndarray) -> str:
        """How images differ from the normal training images; see `describe_shifts`.

        Args:
            images: as for `score`.

        Returns:
            One line with the numbers, empty if nothing is shifted or the model has no ranges.
        """
        images = _check_images(images, self.image_shape)
        if self.ranges is None:
            return ""
        shifts = find_shifts(self.ranges, measure_pixels(images))
        return describe_shifts(shifts, len(images), *_origin(self.ranges))

    def _read(
        self, file: PathName | bytes, measured: bool
    ) -> tuple[np.ndarray, Sequence[float], tuple[int, int]]:
        """The image, the statistics of its file if they are asked for, and the file's size."""
        with open_image(file, self.max_pixels) as image:
            rest = (self.resize, self.bit_depth, self.max_pixels)
            pixels = prepare(image, self.image_shape, *rest)
            return pixels, measure_file(image) if measured else (), shown_size(image)

    def _run(self, names: list[str], images: np.ndarray) -> list[np.ndarray]:
        return self._session_for(names).run(names, {"images": images})

    def _session_for(
        self, names: Iterable[str], threads: int = 1
    ) -> "onnxruntime.InferenceSession":
        """A session that gives these outputs, and computes nothing for maps unless one is asked."""
        is_whole = not set(names) <= set(DECISIONS)
        with self._opening:
            if (is_whole, threads) not in self._sessions:
                model = self._model if is_whole else without_other_outputs(self._model, DECISIONS)
                self._sessions[is_whole, threads] = _open_session(model, threads)
            return self._sessions[is_whole, threads]


def _open_session(model: bytes, threads: int) -> "onnxruntime.InferenceSession":
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def without_other_outputs(model: bytes, outputs: Collection[str]) -> bytes:
    """An ONNX model without the nodes and constants that serve other outputs alone.

    ONNX Runtime runs every node, whatever it is asked for. The file is in protocol buffers: fields
    of a number, a length and so many bytes, one within the other. So nodes can be left out by the
    numbers of a few fields, without the library that writes such files.

    Args:
        model: the content of an ONNX file.
        outputs: names of outputs to keep.

    Returns:
        The model; as it was, if it cannot be read so or has nodes with graphs of their own.
    """
    try:
        parts = list(_fields(model))
        (graph,) = (field for field in parts if field.number == MODEL_GRAPH)
        fields = list(_fields(graph.content))
        needed, kept = set(outputs), set()
        for place in reversed(range(len(fields))):  # nodes are stored in the order of their work
            if fields[place].number != GRAPH_NODE:
                continue
            node = list(_fields(fields[place].content))
            if any(_has_graph(field) for field in node if field.number == NODE_ATTRIBUTE):
                return model
            if needed & {bytes(f.content).decode() for f in node if f.number == NODE_OUTPUT}:
                needed |= {bytes(f.content).decode() for f in node if f.number == NODE_INPUT}
                kept.add(place)
        left = b"".join(
            field.whole
            for place, field in enumerate(fields)
            if (field.number != GRAPH_NODE or place in kept)
            and (field.number != GRAPH_OUTPUT or _name_of(field, VALUE_NAME) in outputs)
            and (field.number != GRAPH_CONSTANT or _name_of(field, TENSOR_NAME) in needed)
        )
    except (IndexError, UnicodeDecodeError, ValueError):
        return model
    tag = graph.whole[:1]
    return b"".join(
        b"".join([tag, _as_varint(len(left)), left]) if field is graph else field.whole
        for field in parts
    )


class _Field(NamedTuple):
    """A field of a protocol buffer: its number, its content, and all of its bytes."""

    number: int
    content: memoryview
    whole: memoryview


def _fields(message: bytes | memoryview) -> Iterator[_Field]:
    """The fields of a message.

    Raises:
        IndexError, ValueError: if it is none.
    """
    view, at = memoryview(message), 0
    while at < len(view):
        begin = at
        tag, at = _varint(view, at)
        start = at
        if tag & 7 == 0:
            _, at = _varint(view, at)
        elif tag & 7 == 2:
            length, start = _varint(view, at)
            at = start + length
        elif tag & 7 in (1, 5):
            at += 8 if tag & 7 == 1 else 4
        else:
            raise ValueError(f"field of unknown type {tag & 7}")
        if at > len(view):
            raise ValueError("field that is cut off")
        yield _Field(tag >> 3, view[start:at], view[begin:at])


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = view[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _as_varint(value: int) -> bytes:
    """The inverse of `_varint`."""
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _name_of(field: _Field, number: int) -> str:
    names = (f.content for f in _fields(field.content) if f.number == number)
    return bytes(next(names, b"")).decode()


def _has_graph(attribute: _Field) -> bool:
    return any(field.number in ATTRIBUTE_GRAPHS for field in _fields(attribute.content))


class _Wanted(NamedTuple):
    """What records of files hold besides the model's own decision; see `Scorer.score_files`."""

    threshold: float | None
    maps: PathName | None
    pixel_threshold: float | None
    regions: bool


def _score_batch(
    scorer: Scorer,
    batch: Sequence[tuple[PathName | bytes, str]],
    wanted: _Wanted,
    measured: Sequence[str],
) -> tuple[list[dict[str, Any]], list[Sequence[float]]]:
    """One record for each file, and a row of the statistics in `measured` for each image."""
    records: list[dict[str, Any]] = []
    images: list[np.ndarray] = []
    files: list[Sequence[float]] = []
    sizes: list[tuple[int, int]] = []
    for path, name in batch:
        record: dict[str, Any] = {"path": name if isinstance(path, bytes) else path}
        records.append(record)
        try:
            image, file, size = scorer._read(path, bool(measured))
            images.append(image)
            files.append(file)
            sizes.append(size)
        except Exception as error:
            # Pillow's readers raise anything from OSError to struct.error on damaged files.
            record["error"] = describe_unreadable(error)
    if not images:
        return records, []
    rows = _rows(measured, np.stack(images), files) if measured else []
    images += images[-1:] * (-len(images) % scorer._multiple)
    names = ["score", "probability", "is_anomaly"]
    names += ["anomaly_map"] if wanted.maps or wanted.regions else []
    results = zip(*scorer._run(names, np.stack(images)), strict=True)
    scored = zip(sizes, results, strict=False)  # without those that only fill up
    for record, (path, map_name) in zip(records, batch, strict=True):
        if "error" in record:
            continue
        size, (score, probability, is_anomaly, *maps) = next(scored)
        if wanted.threshold is not None:
            is_anomaly = score > wanted.threshold
        record.update(
            score=float(score), probability=float(probability), is_anomaly=bool(is_anomaly)
        )
        if not maps:
            continue
        heat, limit = maps[0], wanted.pixel_threshold
        mask = None if limit is None else heat > limit
        if wanted.regions and mask is not None:
            record["regions"] = find_regions(heat, mask)
            add_file_boxes(record["regions"], size, heat.shape, scorer.resize)
        if wanted.maps:
            try:
                record["map"] = os.path.join(wanted.maps, map_name + ".png")
                _write_overlay(scorer, path, heat, mask, record["map"])
            except Exception as error:
                record["error"] = f"{record.pop('map')}: {describe(error)}"
    return records, rows


def _with_map_names(
    paths: Iterable[PathName | tuple[PathName | bytes, str]], unique: bool
) -> Iterator[tuple[PathName | bytes, str]]:
    """(file, map name) of each; if `unique`, a name that is taken goes into a numbered folder."""
    taken: set[str] = set()
    for number, path in enumerate(paths, 1):
        if isinstance(path, tuple):
            yield path
            continue
        file = os.fspath(path)
        name = os.path.basename(file)
        if unique and name in taken:
            name = os.path.join(str(number), name)
        elif unique:
            taken.add(name)
        yield file, name


def _write_overlay(
    scorer: Scorer,
    path: PathName | bytes,
    heat: np.ndarray,
    mask: np.ndarray | None,
    destination: str,
) -> None:
    # The file is read again rather than kept: a batch of large photos would fill the memory.
    with open_image(path, scorer.max_pixels) as image:
        own_size = (None, None, 3)
        pixels = prepare(image, own_size, "stretch", scorer.bit_depth, scorer.max_pixels)
    high, wide = heat.shape
    left, top, wide, high = placed(pixels.shape[1::-1], (wide, high), scorer.resize)
    inside = slice(top, top + high), slice(left, left + wide)
    mask = None if mask is None else mask[inside]
    from PIL import Image

    os.makedirs(os.path.dirname(destination) or ".", exist_ok=True)
    drawn = overlay(pixels, np.ascontiguousarray(heat[inside]), scorer.map_colour_range, mask)
    with _replacing(destination) as temporary:
        Image.fromarray(drawn).save(temporary, "PNG")


@contextlib.contextmanager
def _replacing(path: PathName) -> Iterator[str]:
    """Yields a temporary name beside `path`; renames it to `path` if the block succeeds."""
    temporary = f"{os.fspath(path)}.{os.getpid()}.part"
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)


def _no_mask(expected: str) -> SettingError:
    return SettingError(
        f"expected a model with {expected}, for masks and regions (export it again, use `ganad "
        "recalibrate`, or give --pixel-threshold). Received: a model of an earlier version"
    )


def _check_images(images: Any, image_shape: tuple[int, int, int]) -> np.ndarray:
    h, w, c = image_shape
    expected = f"images must be uint8 [N, {h}, {w}, {c}] with N at least 1"
    try:
        images = np.asarray(images)
    except Exception as error:
        raise ScoringError(f"{expected}. Received: {describe(error)}") from None
    if images.dtype != np.uint8:
        hint = ", in 0..255: give the stored pixels, unscaled" * (images.dtype.kind == "f")
        raise ScoringError(f"{expected}{hint}. Received: {images.dtype} {list(images.shape)}")
    if c == 1 and images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[1:] != image_shape or not len(images):
        raise ScoringError(f"{expected}. Received: uint8 {list(images.shape)}")
    return np.ascontiguousarray(images)


class DriftTest:
    """Tests whether new values are like known ones, in constant memory.

    It bets against "no drift", and its wealth is the evidence. Without drift the evidence ever
    reaches c with a chance of at most 1 / c, however long it runs and however few values are known.
    No drift means: the values of normal images are exchangeable with the known ones, and at most a
    share of all images are anomalies, which lie in the tails.

    The n known values divide the line into n + 1 gaps. Without drift, a new value falls into a gap
    with a probability proportional to 1 + the number of earlier ones in it, so the p-value that
    follows is uniform and independent of all earlier ones, although n is finite. Only the counts
    are kept. The p-value is the share of known and earlier values above the new one.

    - Between the tails: power bets e * p ** (e - 1), on low and on high values.
    - On the tails: bets on more images there than expected, anomalies included.
    - Both: products of the bets on high, or on low, values and on the tails.

    Each bet may begin at any image. The evidence is the mean over bets and beginnings, those at
    image t with the weight 1 / (1 + ln t) - 1 / (1 + ln(1 + t)), so a drift is seen after a long
    time without one, too.

    Args:
        known: values of normal images, at least `MIN_KNOWN`.
        tails: shares of the lowest and of the highest known values.
        anomaly_share: in [0, 1).
        seed: of the random numbers that place equal values.

    Attributes:
        images: how many values were added.
        highest: the highest evidence so far.

    Sources: Vovk, Nouretdinov and Gammerman, *Testing Exchangeability On-Line*, ICML 2003 (smoothed
    p-values, power martingales); Shiryaev 1963 (the mixture over beginnings); Blackwell and
    MacQueen 1973 (the urn).
    """

    def __init__(
        self,
        known: Sequence[float],
        tails: tuple[float, float],
        anomaly_share: float,
        seed: str,
    ):
        self.anomaly_share, self.seed = anomaly_share, seed
        # Equal values are put in a random order, which stays the same.
        self._known = sorted(
            (value, _uniforms(f"{seed} known {i}")[0]) for i, value in enumerate(known)
        )
        gaps = len(known) + 1
        # The gaps between the tails, and where groups of them begin.
        self._first = math.floor(gaps * tails[0])
        self._end = gaps - math.floor(gaps * tails[1])
        count = self._end - self._first
        groups = min(count, MAX_GAPS)
        self._starts = [self._first + group * count // groups for group in range(groups)]
        ends = [*self._starts[1:], self._end]
        self._weights = [end - start for start, end in zip(self._starts, ends, strict=True)]
        self.images, self._in_tails, self.highest = 0, 0, 1.0
        self._counts = [0] * groups
        self._wealth = [0.0] * (5 * len(POWERS))

    @property
    def evidence(self) -> float:
        """Wealth per unit staked; 1 at the beginning."""
        return sum(self._wealth) / len(self._wealth) + _not_begun(self.images)

    def add(self, value: float) -> None:
        """Adds the value of one more image, a finite number."""
        begun = _not_begun(self.images) - _not_begun(self.images + 1)
        self.images += 1
        tie, smoothing = _uniforms(f"{self.seed} {self.images}")
        position = bisect.bisect_left(self._known, (value, tie))
        in_tails = not self._first <= position < self._end
        expected = self._tails_share()
        if in_tails:
            self._in_tails += 1
            lower = higher = [1.0] * len(POWERS)
        else:
            group = bisect.bisect_right(self._starts, position) - 1
            p = min(max(self._p_value(group, smoothing), 1e-9), 1 - 1e-9)
            self._counts[group] += 1
            higher, lower = ([e * q ** (e - 1) for e in POWERS] for q in (p, 1 - p))
        more = [1 - growth + growth / expected * in_tails for growth in GROWTHS]
        both = [
            one * other for side in (lower, higher) for one, other in zip(side, more, strict=True)
        ]
        self._wealth = [
            min((wealth + begun) * bet, MAX_WEALTH)
            for wealth, bet in zip(self._wealth, [*lower, *higher, *more, *both], strict=True)
        ]
        self.highest = max(self.highest, self.evidence)

    def _p_value(self, group: int, smoothing: float) -> float:
        """The share of values between the tails that lie above this one, smoothed."""
        above = sum(self._weights[group + 1 :]) + sum(self._counts[group + 1 :])
        own = self._weights[group] + self._counts[group]
        seen = self.images - 1 - self._in_tails
        return (above + smoothing * own) / (self._end - self._first + seen)

    def _tails_share(self) -> float:
        """The largest probability, without drift, that the next value lies in the tails."""
        gaps = len(self._known) + 1
        known = gaps - (self._end - self._first) + self._in_tails
        return self.anomaly_share + (1 - self.anomaly_share) * known / (gaps + self.images - 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; random numbers are a function of the seed and of `images`."""
        return {
            "images": self.images,
            "in_tails": self._in_tails,
            "counts": self._counts,
            "wealth": self._wealth,
            "highest": self.highest,
        }

    def restore(self, values: Mapping[str, Any]) -> None:
        """Goes on from what `to_dict` returned.

        Raises:
            KeyError, TypeError, ValueError: if the values cannot be those of such a test.
        """
        images, in_tails = int(values["images"]), int(values["in_tails"])
        counts = [int(count) for count in values["counts"]]
        wealth = [float(share) for share in values["wealth"]]
        numbers = [*wealth, float(values["highest"])]
        if (
            (len(counts), len(wealth)) != (len(self._counts), len(self._wealth))
            or min(in_tails, *counts) < 0
            or sum(counts) + in_tails != images
            or not all(0 <= number < math.inf for number in numbers)
        ):
            raise ValueError("numbers that contradict each other")
        self.images, self._in_tails, self._counts = images, in_tails, counts
        self._wealth, self.highest = wealth, numbers[-1]


class Monitor:
    """Watches the scores and the image statistics of normal images for drift.

    One `DriftTest` watches the score, and one each statistic of which the model has a sample. They
    share the chance of a false alarm, which is 1 / `LIMIT` in all. A statistic alarms only if its
    median over the last images differs by more than its margin, see `STATISTICS`: less does not
    matter, however sure it is.

    Args:
        normal_scores: of at least `MIN_KNOWN` normal images that were not trained on.
        ranges: of the statistics, `Scorer.ranges`; None to watch the score alone.
        anomaly_share: share of the images that may be anomalies without counting as drift, in
            [0, 1).
        seed: of random numbers; by default a new one.

    Attributes:
        tests: `score` and names of statistics -> their tests.
        drift: names of those that have drifted -> at which image this was seen.
        recent: statistics of the last images, in the order of the ranges.
    """

    def __init__(
        self,
        normal_scores: Sequence[float] | np.ndarray,
        ranges: Mapping[str, Any] | None = None,
        anomaly_share: float = ANOMALY_SHARE,
        seed: str | None = None,
    ):
        known = np.asarray(normal_scores, np.float64).tolist()
        if not _can_be_known(known):
            received = str(len(known)) if all(map(math.isfinite, known)) else "NaN or infinity"
            raise ScoringError(
                f"a monitor needs at least {MIN_KNOWN} normal scores in the model; `ganad "
                f"recalibrate` stores those of new images. Received: {received}"
            )
        if not 0 <= anomaly_share < 1:
            raise SettingError(f"--anomaly-share must be in [0, 1). Received: {anomaly_share}")
        self.anomaly_share, self.seed = float(anomaly_share), seed or secrets.token_hex(8)
        self.ranges = ranges or {"images": 0, "percentiles": {}}
        self.tests = {SCORE: self._test(SCORE, known, SCORE_TAILS)}
        self._columns = list(self.ranges["percentiles"])
        for name, sample in self.ranges.get("sample", {}).items():
            if name in STATISTICS and name in self._columns and _can_be_known(sample):
                self.tests[name] = self._test(name, sample, STATISTIC_TAILS)
        self.drift: dict[str, int] = {}
        self.recent: collections.deque[list[float]] = collections.deque(maxlen=RECENT)

    def _test(self, name: str, known: Sequence[float], tails: tuple[float, float]) -> DriftTest:
        return DriftTest(known, tails, self.anomaly_share, f"{self.seed} {name}")

    @property
    def images(self) -> int:
        """How many images were added."""
        return self.tests[SCORE].images

    @property
    def drift_at(self) -> int | None:
        """The image at which the first drift was seen; None without one."""
        return min(self.drift.values(), default=None)

    def evidence(self, name: str, highest: bool = False) -> float:
        """Evidence that one of the tests has for drift; the alarm is at `LIMIT`.

        Args:
            name: of the test.
            highest: the highest so far, instead of that of now.
        """
        test, others = self.tests[name], len(self.tests) - 1
        weight = SCORE_SHARE if others else 1.0
        if name != SCORE:
            weight = (1 - SCORE_SHARE) / others
        return weight * (test.highest if highest else test.evidence)

    def add(self, score: float, statistics: Sequence[float] = ()) -> None:
        """Adds an image.

        Args:
            score: a finite number.
            statistics: in the order of the ranges, NaN where one is not known; empty if none is.
        """
        if not math.isfinite(score):
            raise ScoringError(f"a monitor needs finite scores. Received: {score}")
        self.tests[SCORE].add(score)
        if len(statistics):
            self.recent.append([float(value) for value in statistics])
            for name, value in zip(self._columns, self.recent[-1], strict=True):
                if name in self.tests and math.isfinite(value):
                    self.tests[name].add(value)
        for name in self.tests:
            if (
                name not in self.drift
                and self.evidence(name) >= LIMIT
                and (name == SCORE or self._matters(name))
            ):
                self.drift[name] = self.images

    def _matters(self, name: str) -> bool:
        """Whether the median over the last images differs by more than the margin."""
        rows = list(self.recent)[-WINDOWS[1] :]
        column = [row[self._columns.index(name)] for row in rows]
        usual = float(self.ranges["percentiles"][name][50])
        _, relative, absolute = STATISTICS[name]
        return abs(float(np.nanmedian(column)) - usual) > max(relative * abs(usual), absolute)

    def changes(self) -> str:
        """What the last images differ in, `brightness 153.4 (128)`; empty if in nothing."""
        return describe_changes(find_changes(self.ranges, list(self.recent)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "seed": self.seed,
            "anomaly_share": self.anomaly_share,
            "drift": self.drift,
            "tests": {name: test.to_dict() for name, test in self.tests.items()},
            "recent": [
                [None if math.isnan(number) else number for number in row] for row in self.recent
            ],
        }

    @classmethod
    def from_dict(
        cls,
        values: Mapping[str, Any],
        normal_scores: Sequence[float] | np.ndarray,
        ranges: Mapping[str, Any] | None = None,
    ) -> "Monitor":
        """The inverse of `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: if the values cannot be those of a monitor.
        """
        share, seed = float(values["anomaly_share"]), values["seed"]
        if not (0 <= share < 1 and seed and isinstance(seed, str)):
            raise ValueError("another seed or share of anomalies")
        monitor = cls(normal_scores, ranges, share, seed)
        if values["tests"].keys() != monitor.tests.keys():
            raise ValueError("other statistics than the model's")
        for name, test in monitor.tests.items():
            test.restore(values["tests"][name])
        for name, image in values["drift"].items():
            if name not in monitor.tests or not 0 < int(image) <= monitor.images:
                raise ValueError("a drift of images that were not seen")
            monitor.drift[name] = int(image)
        for row in values["recent"]:
            if len(row) != len(monitor._columns):
                raise ValueError("statistics that are not the model's")
            monitor.recent.append([math.nan if one is None else float(one) for one in row])
        return monitor


def _can_be_known(values: Sequence[float]) -> bool:
    """Whether new values can be compared with these."""
    return len(values) >= MIN_KNOWN and all(map(math.isfinite, values))


def _not_begun(images: int) -> float:
    """The weight of beginnings after so many images."""
    return 1 / (1 + math.log1p(images))


def _uniforms(name: str) -> tuple[float, float]:
    """Two random numbers in [0, 1) that are a function of a name, on every machine."""
    digest = hashlib.sha256(name.encode()).digest()
    first, second = (int.from_bytes(part, "big") >> 11 for part in (digest[:8], digest[8:16]))
    return first / 2**53, second / 2**53


def find_changes(
    ranges: Mapping[str, Any], recent: Sequence[Sequence[float]]
) -> list[dict[str, Any]]:
    """Which statistics of the last images differ most from those of the normal training images.

    To be asked once the scores are known to have drifted: it needs less certainty than
    `find_shifts`. The last 25, 50, 100 and 200 images are compared, since it is not known when the
    change began, by the rank sum.

    Args:
        ranges: of the training images, see `Scorer.ranges`.
        recent: statistics of the last images, oldest first, in the order of the ranges.

    Returns:
        For each statistic that differs by more than `MIN_CHANGE` deviations its `name`, the
        `median` of the images, the `training` median and the `deviations`; the largest first.
    """
    found = []
    rows, known = np.asarray(recent, np.float64), ranges["images"]
    for number, (name, percentiles) in enumerate(ranges["percentiles"].items()):
        best: dict[str, Any] = {"deviations": 0.0}
        for window in WINDOWS if name in STATISTICS else ():
            column = rows[-window:, number] if len(rows) else np.empty(0)
            column = column[~np.isnan(column)]
            if not len(column):
                continue
            usual = np.asarray(percentiles, np.float64)
            deviation = math.sqrt((known + len(column) + 1) / (12 * known * len(column)))
            deviations = abs(rank_among(column, usual).mean() - 0.5) / deviation
            if deviations > best["deviations"]:
                median, training = float(np.median(column)), float(usual[50])
                best = {"name": name, "median": median, "training": training}
                best["deviations"] = float(deviations)
        if best["deviations"] > MIN_CHANGE:
            found.append(best)
    return sorted(found, key=lambda change: -change["deviations"])


def describe_changes(changes: Sequence[Mapping[str, Any]]) -> str:
    """`brightness 153.4 (128), contrast 40.1 (35.2)`, empty without any."""
    return ", ".join(
        f"{STATISTICS[change['name']][0]} {change['median']:.4g} ({change['training']:.4g})"
        for change in changes
    )


class MonitorFile:
    """A monitor whose state is kept in a JSON file between calls.

    Use it in a `with` statement: it keeps other processes away from the file, and the file is
    replaced at the end, unless an error ends the block.

    Args:
        path: of the state; a new file is begun if there is none.
        scorer: the model.
        anomaly_share: see `Monitor`; None for that of the state, or `ANOMALY_SHARE`.
        shift: receives the statistics of the images that are scored.

    Raises:
        SettingError: if another process monitors with this file, it belongs to another model, or
            it was begun with another `anomaly_share`.
        ScoringError: if it is damaged, or the model has too few normal scores.
    """

    def __init__(
        self, path: PathName, scorer: Scorer, anomaly_share: float | None, shift: InputShift
    ):
        self.path, self._model = os.fspath(path), _identity(scorer.metadata)
        if os.path.isdir(self.path) or not os.path.isdir(os.path.dirname(self.path) or "."):
            raise SettingError(
                f"--monitor must be a file in a folder that exists. Received: {self.path}"
            )
        self._scorer, self._changed = scorer, ""
        self._rows = shift.arrived = collections.deque()
        self._lock = contextlib.ExitStack()
        with self._lock:
            self._lock.enter_context(_locked(self.path))
            self.monitor = self._open(anomaly_share)
            self._lock = self._lock.pop_all()

    def __enter__(self) -> "MonitorFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._lock:
            if kind is None:
                self._write()

    def add(self, score: float) -> None:
        """Adds the next image whose statistics `shift` has received."""
        before = self.monitor.drift_at
        self.monitor.add(score, self._rows.popleft() if self._rows else ())
        if before is None and self.monitor.drift_at is not None:
            self._changed = self.monitor.changes()

    def describe(self, model: PathName) -> str:
        """One line of health.

        Args:
            model: its file, for the command that recalibrates it.
        """
        monitor = self.monitor
        evidence = ", ".join(
            f"{name} {monitor.evidence(name, highest=True):.2g}" for name in monitor.tests
        )
        evidence = f"highest evidence: {evidence}; alarm at {LIMIT:g}"
        if monitor.drift_at is None:
            images = "1 image" if monitor.images == 1 else f"{monitor.images:,} images"
            return f"monitor: no drift in {images} ({evidence})"
        drifted = " and ".join(
            "scores" if name == SCORE else STATISTICS[name][0] for name in monitor.drift
        )
        changes = monitor.changes() or self._changed
        what = f"changed: {changes}" if changes else "no statistic of the images says why"
        return (
            f"monitor: DRIFT of {drifted}, seen at image {monitor.drift_at:,} of "
            f"{monitor.images:,} ({evidence}); {what}. If the images are normal: ganad recalibrate "
            f"{shlex.quote(os.fspath(model))} NORMALS --output NEW.onnx, and a new file for "
            "--monitor"
        )

    def _open(self, anomaly_share: float | None) -> Monitor:
        """The monitor of the file, or a new one."""
        known, ranges = self._scorer.normal_scores, self._scorer.ranges
        if not os.path.lexists(self.path):
            share = ANOMALY_SHARE if anomaly_share is None else anomaly_share
            return Monitor(known, ranges, share)
        with open(self.path, encoding="utf-8") as file:
            try:
                values = json.load(file)
                if not isinstance(values, dict) or values.get("format") != STATE_FORMAT:
                    raise ValueError("another file")
                is_own = values["model"] == self._model
                monitor = Monitor.from_dict(values, known, ranges) if is_own else None
                self._changed = str(values["changed"])
            except ScoringError:
                raise
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                raise ScoringError(
                    f"{self.path}: expected the state of a monitor, as --monitor writes it. "
                    f"Received: {describe(error)}"
                ) from None
        if monitor is None:
            raise SettingError(
                "--monitor must name a new file, or the state of this model. "
                f"Received: {self.path}, of another model"
            )
        if anomaly_share not in (None, monitor.anomaly_share):
            raise SettingError(
                f"--anomaly-share must stay what {self.path} was begun with, "
                f"{monitor.anomaly_share:g}. Received: {anomaly_share:g}"
            )
        return monitor

    def _write(self) -> None:
        values = {
            "format": STATE_FORMAT,
            "model": self._model,
            **self.monitor.to_dict(),
            "changed": self._changed,
        }
        with _replacing(self.path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            json.dump(values, file)
            file.flush()
            os.fsync(file.fileno())


def _identity(metadata: Mapping[str, str]) -> str:
    """Tells models apart: their scores, thresholds and normal images."""
    return hashlib.sha256(json.dumps(sorted(metadata.items())).encode()).hexdigest()


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Keeps other monitors away from a state file, with a lock of the system's beside it.

    The system releases it when the process ends, even if it is killed.
    """
    name = f"{path}.lock"
    while True:
        file = open(name, "a+")  # noqa: SIM115
        try:
            _take(file)
        except (BlockingIOError, PermissionError):
            file.close()
            raise SettingError(
                f"--monitor must name a file that no other process uses. Received: {path}, in use"
            ) from None
        except OSError:
            break  # some network file systems have no locks
        # The last owner may have removed the file between our opening and locking it.
        if os.path.exists(name) and os.path.samestat(os.fstat(file.fileno()), os.stat(name)):
            break
        file.close()
    try:
        yield
    finally:
        if sys.platform != "win32":  # where an open file cannot be removed
            os.remove(name)
        file.close()


def _take(file: IO[str]) -> None:
    """Locks an open file or raises OSError."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _rows(
    names: Sequence[str], images: np.ndarray, files: Sequence[Sequence[float]]
) -> list[Sequence[float]]:
    """The statistics `names` of each image; NaN for names that this version does not know."""
    columns = measure_pixels(images)
    columns.update(zip(FILE_STATISTICS, np.asarray(files, np.float64).T, strict=True))
    unknown = np.full(len(images), np.nan)
    return np.stack([columns.get(name, unknown) for name in names], axis=1).tolist()


def _origin(ranges: Mapping[str, Any] | None) -> tuple[int, str]:
    """How many images the ranges were taken from, and in what."""
    return (0, "") if ranges is None else (ranges["images"], ranges.get("source", "training"))


def _parse_ranges(text: str) -> dict[str, Any] | None:
    """The ranges in a model's metadata; None if there are none.

    Raises:
        ValueError: if they are not what `find_shifts` takes.
    """
    ranges = json.loads(text)
    if ranges is None:
        return None
    try:
        table = np.array(list(ranges["percentiles"].values()), np.float64)
        if table.shape[1:] == (101,) and int(ranges["images"]) > 0:
            return ranges
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise ValueError("image_ranges that are damaged")


def find_regions(heat: np.ndarray, mask: np.ndarray) -> list[dict[str, Any]]:
    """The connected pieces of a mask, in the order of their first pixels, row by row.

    Pixels that touch at a corner belong together. `scipy.ndimage.label` with eight neighbours
    numbers the same pieces in the same order.

    Args:
        heat: the anomaly map, float [h, w].
        mask: the marked pixels, bool [h, w].

    Returns:
        For each region `box` (left, top, width, height, in pixels of the map), `area` in pixels,
        `percent` of all pixels of the map, and `peak`, the largest map value.
    """
    if not mask.any():
        return []
    width = mask.shape[1] + 2
    # Runs of marked pixels. Each row has an unmarked pixel at both ends, so no run goes beyond it.
    flat = np.pad(mask, ((0, 0), (1, 1))).ravel().astype(np.int8)
    steps = np.diff(flat)
    starts, ends = np.flatnonzero(steps > 0) + 1, np.flatnonzero(steps < 0) + 1
    lengths = ends - starts
    # A run touches those of the row above that end at or after its start, and begin up to its end.
    first = np.searchsorted(ends, starts - width, "left")
    last = np.searchsorted(starts, ends - width, "right")
    roots = list(range(len(starts)))

    def root(run: int) -> int:
        while roots[run] != run:
            roots[run] = run = roots[roots[run]]
        return run

    for run in np.flatnonzero(last > first).tolist():
        for above in range(first[run], last[run]):
            one, other = root(run), root(above)
            roots[max(one, other)] = min(one, other)  # the first run of all stands for them
    numbers = np.unique([root(run) for run in roots], return_inverse=True)[1].ravel()
    count = int(numbers.max()) + 1
    areas = np.bincount(numbers, lengths, count).astype(np.int64)
    offsets = np.cumsum(lengths) - lengths
    peaks = np.full(count, -np.inf)
    np.maximum.at(peaks, numbers, np.maximum.reduceat(heat[mask], offsets))
    rows, lefts = starts // width, starts % width - 1
    low, high = np.full((count, 2), mask.size), np.zeros((count, 2), np.int64)
    np.minimum.at(low, numbers, np.stack([lefts, rows], 1))
    np.maximum.at(high, numbers, np.stack([lefts + lengths, rows + 1], 1))
    return [
        {
            "box": [*near, far[0] - near[0], far[1] - near[1]],
            "area": area,
            "percent": 100 * area / mask.size,
            "peak": peak,
        }
        for near, far, area, peak in zip(
            low.tolist(), high.tolist(), areas.tolist(), peaks.tolist(), strict=True
        )
    ]


def add_file_boxes(
    regions: Sequence[dict[str, Any]],
    size: tuple[int, int],
    map_shape: tuple[int, ...],
    resize: str,
) -> None:
    """Adds `file_box` to each region: its box in pixels of the file, as viewers show it.

    It covers every pixel of the file that the box has a part of. None if the region lies in the
    margin alone that `pad` adds.

    Args:
        regions: of `find_regions`.
        size: (width, height) of the file; see `shown_size`.
        map_shape: (h, w) of the anomaly map.
        resize: how the file was brought to (h, w).
    """
    frame = (map_shape[1], map_shape[0])
    corner, inner = np.split(np.array(placed(size, frame, resize)), 2)
    for region in regions:
        box = np.array(region["box"])
        # Whole numbers: pixel x of the map holds x * size / inner to (x + 1) * size / inner.
        near = np.maximum(box[:2] - corner, 0) * size // inner
        far = -(np.minimum(box[:2] + box[2:] - corner, inner) * -np.array(size) // inner)
        is_inside = bool((near < far).all())
        region["file_box"] = [*near.tolist(), *(far - near).tolist()] if is_inside else None


def overlay(
    pixels: np.ndarray,
    heat: np.ndarray,
    colour_range: tuple[float, float],
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """Lays an anomaly map over its image, on a colour scale that is the same for all images.

    Args:
        pixels: uint8 [H, W, 3].
        heat: float [h, w], stretched to H x W.
        colour_range: (low, high) of the scale; the heat's opacity grows along with its colour.
        mask: the marked pixels, bool [h, w]; their regions are outlined.

    Returns:
        uint8 [H, W, 3].
    """
    from PIL import Image

    low, high = colour_range
    size = (pixels.shape[1], pixels.shape[0])
    heat = np.asarray(Image.fromarray(heat.astype(np.float32)).resize(size, 2))
    anchors = np.linspace(0, 1, len(HEAT))
    drawn = np.empty_like(pixels)
    # A few rows at a time: what is in between takes 60 times the memory of a photo's own rows.
    for top in range(0, len(pixels), 64):
        rows = slice(top, top + 64)
        warmth = np.clip((heat[rows] - low) / (high - low), 0, 1)
        colours = [np.interp(warmth, anchors, band) for band in zip(*HEAT, strict=True)]
        # Grey underneath, so that the image's own colours are not taken for heat.
        grey = pixels[rows].mean(axis=-1, keepdims=True)
        opacity = 0.85 * np.sqrt(warmth)[..., None]
        drawn[rows] = np.rint(grey * (1 - opacity) + np.stack(colours, -1) * opacity)
    if mask is not None and mask.any():
        stretched = Image.fromarray(mask.astype(np.uint8)).resize(size, 0)
        drawn[outline(np.asarray(stretched, bool))] = OUTLINE
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


def check_threshold(threshold: float | None) -> np.float64 | None:
    """Returns the threshold as float64, or None; refuses what is not a number."""
    if threshold is None:
        return None
    try:
        # A float64 of NumPy's: a Python float would be rounded to the scores' float32 first.
        value = np.float64(threshold)
    except (TypeError, ValueError):
        value = np.float64(np.nan)
    if not np.ndim(value) == 0 or np.isnan(value):
        raise SettingError(f"threshold must be a number. Received: {threshold!r}")
    return value


def available_cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def describe(error: Exception) -> str:
    """One line for an error, with its type where the message alone would not tell."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ScoringError) else f"{type(error).__name__}: {text}"


def describe_unreadable(error: Exception) -> str:
    """One line that says why an image file has no score, in the words of training."""
    if isinstance(error, OSError) and error.strerror:
        return f"expected a readable file. Received: {error.strerror}"
    text = describe(error)
    return text if isinstance(error, ScoringError) else f"expected a whole image. Received: {text}"


def find_images(
    arguments: Sequence[str],
    problems: list[dict[str, Any]],
    skipped: collections.Counter[str] | None = None,
) -> Iterator[tuple[str, str]]:
    """Yields (path, map name) for each image named or found in a folder, at any depth.

    Every file in a folder is yielded, or counted in `skipped`. Files that look like images but
    cannot be read, such as .heic, and links to folders, which may lead in circles, are yielded,
    too, so that each gets an error record. Folders are read entry by entry, unsorted, so that one
    of millions of files costs no memory.

    Args:
        arguments: names of files and folders.
        problems: error records of folders that cannot be read or hold no image are appended.
        skipped: a `collections.Counter`, reason -> number of files and folders that are passed
            over: hidden ones, leftovers of systems and tools, and files that are no images.
    """
    skipped = collections.Counter() if skipped is None else skipped
    for number, argument in enumerate(arguments, 1):
        prefix = str(number) if len(arguments) > 1 else ""
        if not os.path.isdir(argument):
            yield argument, os.path.join(prefix, os.path.basename(argument))
            continue
        found, folders, before = 0, [argument], len(problems)
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if is_litter(entry.name):
                            skipped["hidden or of the system"] += 1
                        elif entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                        elif is_scored(entry):
                            found += 1
                            yield (
                                entry.path,
                                os.path.join(prefix, os.path.relpath(entry.path, argument)),
                            )
                        else:
                            suffix = os.path.splitext(entry.name)[1].lower()
                            skipped[suffix or "without a suffix"] += 1
            except OSError as error:
                problems.append({"path": folder, "error": describe(error)})
        if not found and len(problems) == before:
            message = f"expected images ({' '.join(SUFFIXES)}). Received: a folder without any"
            problems.append({"path": argument, "error": message})


def is_scored(entry: os.DirEntry[str]) -> bool:
    """Whether an `os.DirEntry` that is no folder gets a record: a score or an error."""
    return entry.name.lower().endswith(NAMED_IMAGES) or entry.is_dir()


class Progress:
    """Counts on stderr, with the time left; silent for what is done in two seconds."""

    def __init__(self, total: int, quiet: bool):
        self.total, self.quiet, self.done = total, quiet, 0
        self.start = time.monotonic()
        self.terminal = sys.stderr.isatty()
        self.next = self.start + 2
        self.printed = False

    def __enter__(self) -> "Progress":
        return self

    def step(self, count: int = 1) -> None:
        self.done += count
        now = time.monotonic()
        if self.quiet or now < self.next:
            return
        self.next = now + (0.5 if self.terminal else 10)
        rate = self.done / (now - self.start)
        left = max(self.total - self.done, 0) / rate
        text = f"{self.done:,} of {self.total:,} images, {rate:,.0f}/s, {left:.0f} s left"
        start, end = ("\r", "   ") if self.terminal else ("", "\n")
        print(start + text, end=end, file=sys.stderr, flush=True)
        self.printed = True

    def __exit__(self, *_: object) -> None:
        if self.printed and self.terminal:
            print(file=sys.stderr)


class Output:
    """Writes records to stdout, or to a CSV file that appears when it is whole."""

    def __init__(self, arguments: argparse.Namespace):
        self.jsonl, self.csv, self.failures = arguments.jsonl, arguments.csv, 0
        self._files = contextlib.ExitStack()
        if self.csv:
            if os.path.isdir(self.csv):
                raise SettingError(f"--csv must be a file. Received: {self.csv}, a folder")
            temporary = self._files.enter_context(_replacing(self.csv))
            # Names keep their bytes, so that the files are found by this table.
            file = open(  # noqa: SIM115
                temporary, "w", newline="", encoding="utf-8", errors="surrogateescape"
            )
            self._files.enter_context(file)
            self.table = csv.DictWriter(file, FIELDS)
            self.table.writeheader()

    def __enter__(self) -> "Output":
        return self

    def __exit__(self, *error: Any) -> None:
        self._files.__exit__(*error)

    def write(self, record: dict[str, Any]) -> None:
        if self.csv:
            self.table.writerow(record)
        elif self.jsonl:
            print(json.dumps(record, ensure_ascii=False))
        elif "error" not in record:
            decision = "anomaly" if record["is_anomaly"] else "normal"
            numbers = f"{record['score']:.5f}\t{record['probability']:.3f}"
            print(f"{record['path']}\t{decision}\t{numbers}")
        if "error" in record:
            self.failures += 1
            if not self.jsonl:
                print(f"\r{record['path']}: {record['error']}", file=sys.stderr)


def run(arguments: argparse.Namespace) -> int:
    """Scores what the command line names; returns the exit code."""
    threshold: float | None = check_threshold(arguments.threshold)
    if arguments.regions and not arguments.jsonl:
        raise SettingError("--regions must go with --jsonl. Received: --regions alone")
    if arguments.pixel_threshold is not None and not (arguments.regions or arguments.maps):
        raise SettingError("--pixel-threshold must go with --regions or --maps. Received: neither")
    if arguments.maps:
        _check_maps(arguments.maps, arguments.images)
    scorer = Scorer(arguments.model, arguments.threads, arguments.max_pixels)
    if arguments.max_false_alarms is not None:
        threshold = scorer.threshold_for(arguments.max_false_alarms)
    problems: list[dict[str, Any]] = []
    skipped: collections.Counter[str] = collections.Counter()
    total = sum(1 for _ in find_images(arguments.images, []))
    shift = InputShift(scorer.ranges)
    with contextlib.ExitStack() as stack:
        watch = None
        if arguments.monitor:
            watch = MonitorFile(arguments.monitor, scorer, arguments.anomaly_share, shift)
            stack.enter_context(watch)
        progress = stack.enter_context(Progress(total, arguments.quiet))
        output = stack.enter_context(Output(arguments))
        found = find_images(arguments.images, problems, skipped)
        marks = arguments.regions, arguments.pixel_threshold
        for record in scorer.score_files(found, threshold, arguments.maps, shift, *marks):
            output.write(record)
            progress.step()
            if watch and "score" in record:
                watch.add(record["score"])
        for record in problems:
            output.write(record)
    if skipped and not arguments.quiet:
        print(f"not scored: {describe_skipped(skipped)}", file=sys.stderr)
    if warning := shift.describe():
        print(f"warning: {warning}", file=sys.stderr)
    if watch:
        print(watch.describe(arguments.model), file=sys.stderr)
    if output.failures:
        return 1
    return DRIFTED if watch and watch.monitor.drift_at is not None else 0


def describe_skipped(skipped: collections.Counter[str]) -> str:
    """`3 hidden or of the system, 2 .txt`, the most frequent first."""
    return ", ".join(f"{count} {reason}" for reason, count in skipped.most_common(8))


def _check_maps(maps: str, images: Sequence[str]) -> None:
    """Overlays in a folder of images would be scored as images themselves."""
    inner = os.path.join(os.path.realpath(maps), "")
    for folder in filter(os.path.isdir, images):
        if inner.startswith(os.path.join(os.path.realpath(folder), "")):
            raise SettingError(
                f"--maps must lie outside of what is scored, {folder}. Received: {maps}"
            )


def add_threshold_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that replace the model's own threshold; `export.batch` takes the same."""
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--threshold", type=float, help="decide by this instead of the model's own")
    limit.add_argument(
        "--max-false-alarms",
        type=share,
        metavar="A",
        help="set the threshold for at most this share of false alarms among normal images",
    )


def add_region_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags about marked pixels; `export.batch` takes the same."""
    parser.add_argument(
        "--regions", action="store_true", help="also where and how large the marked regions are"
    )
    parser.add_argument(
        "--pixel-threshold",
        type=float,
        metavar="T",
        help="mark pixels above this map value instead of the model's",
    )


def add_max_pixels_flag(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that allows larger images than in training."""
    parser.add_argument(
        "--max-pixels",
        type=int,
        metavar="N",
        help="refuse image files of more pixels than this (default: as in training)",
    )


EPILOG = """\
Without --csv and --jsonl, each line has path, decision, score and probability. Images of a folder
come in no fixed order: sort by path.

example:
  %(prog)s model.onnx new/ --csv scores.csv --maps overlays/

exit codes: 0 all scored; 1 an image could not be scored, or the model could not be used; 2 wrong
usage; 3 all scored, and --monitor found a drift.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the flags."""
    parser.description = "Scores images with an exported anomaly detector."
    parser.epilog = EPILOG
    parser.add_argument("model", help="model.onnx or model.int8.onnx")
    parser.add_argument("images", nargs="+", help="image files, or folders (read at any depth)")
    add_threshold_flags(parser)
    parser.add_argument("--maps", metavar="DIR", help="write an overlay of each anomaly map here")
    add_region_flags(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", metavar="FILE", help="write a table instead of lines")
    form.add_argument("--jsonl", action="store_true", help="write one JSON object a line")
    parser.add_argument(
        "--monitor",
        metavar="STATE.json",
        help="watch scores and images for drift over all calls with this file, which is begun if "
        "there is none; a line of health on stderr, exit code 3 once something has drifted",
    )
    parser.add_argument(
        "--anomaly-share",
        type=share,
        metavar="S",
        help="with --monitor: share of the images that may be anomalies without counting as drift "
        f"(default: {ANOMALY_SHARE})",
    )
    parser.add_argument("--threads", type=int, help="default: all cores")
    add_max_pixels_flag(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


class CommandParser(argparse.ArgumentParser):
    """Tells of a wrong flag in one line; the usage of all flags would bury it."""

    def error(self, message: str) -> NoReturn:
        """Prints the line and exits."""
        self.exit(SettingError.exit_code, f"error: {message}; see {self.prog} --help\n")


def share(text: str) -> float:
    """The value of a flag that is a share."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be a share, such as 0.05. Received: {text!r}"
        ) from None


def main(argv: Sequence[str] | None = None, prog: str = "runtime.py") -> int:
    """The command."""
    parser = CommandParser(
        prog=prog, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    configure(parser)
    arguments = parser.parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        # A file name of any bytes must not stop the run.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        if arguments.anomaly_share is not None and not arguments.monitor:
            parser.error("--anomaly-share needs --monitor. Received: none")
        for name in ("threads", "max_pixels"):
            value = getattr(arguments, name)
            if value is not None and value < 1:
                flag = "--" + name.replace("_", "-")
                parser.error(f"{flag} must be at least 1. Received: {value}")
        return run(arguments)
    except ScoringError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader (such as `head`) has seen enough; nothing is left to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
