"""What encoded image files say besides their pixels, read in a TensorFlow graph.

TensorFlow's decoders tell neither the EXIF orientation nor the bit depth of a file, nor which
colour of a PNG is transparent. All three lie in short blocks before or after the pixels.
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

_PNG = b"\x89PNG\r\n\x1a\n"
_NONE = -1


class Metadata(NamedTuple):
    """Facts of one file.

    Attributes:
        orientation: int32, of the EXIF data, 1 (upright) to 8.
        is_deep: bool, whether it is a PNG of 16 bits.
        has_clear_colour: bool, whether it is an 8-bit PNG that declares one colour transparent.
        clear_colour: int32 [3], that colour; a grey one is first.
        is_misread: bool, whether TensorFlow 2.21 must not decode it: an animated WebP, at which it
            writes beyond its memory, or a BMP with a palette, whose indices it takes for grey.
    """

    orientation: tf.Tensor
    is_deep: tf.Tensor
    has_clear_colour: tf.Tensor
    clear_colour: tf.Tensor
    is_misread: tf.Tensor


class _Found(NamedTuple):
    """Where blocks begin and end in the file, in bytes; -1 if they are not there."""

    exif: tf.Tensor
    exif_end: tf.Tensor
    clear: tf.Tensor


# From the position of a block: the position of the next one, and what was found in this one.
_Step = Callable[[tf.Tensor], tuple[tf.Tensor, _Found]]


def read_metadata(data: tf.Tensor) -> Metadata:
    """Reads what a file says besides its pixels.

    Args:
        data: string, the file's bytes: PNG, JPEG, WebP, or any other, of which nothing is read.
    """
    file = _Bytes(data)
    none = _Found(*[tf.constant(_NONE)] * 3)
    is_png = tf.equal(tf.strings.substr(data, 0, len(_PNG)), _PNG)
    is_webp = file.has(0, b"RIFF") & file.has(8, b"WEBP")
    found = tf.case(
        [
            (is_png, lambda: _walk(file, 8, lambda at: _png_chunk(file, at))),
            (tf.io.is_jpeg(data), lambda: _walk(file, 2, lambda at: _jpeg_segment(file, at))),
            (is_webp, lambda: _walk(file, 12, lambda at: _webp_chunk(file, at))),
        ],
        default=lambda: none,
    )
    depth, colour_type = file.number(24, 1), file.number(25, 1)
    is_deep = is_png & tf.equal(depth, 16)
    is_palette = tf.equal(colour_type, 3)
    clear_colour = tf.stack([file.number(found.clear + offset, 2) for offset in (0, 2, 4)])
    # TensorFlow and Pillow expand one bit to 0 and 255.
    clear_colour = tf.where(tf.equal(depth, 1), clear_colour * 255, clear_colour)
    return Metadata(
        tf.cond(
            found.exif >= 0,
            lambda: _orientation(file.until(found.exif_end), found.exif),
            lambda: tf.constant(1),
        ),
        is_deep,
        (found.clear >= 0) & ~is_deep & ~is_palette,
        clear_colour,
        (is_webp & _is_animated(file)) | (file.has(0, b"BM") & _has_palette(file)),
    )


def _is_animated(file: "_Bytes") -> tf.Tensor:
    """bool, whether the extended header of a WebP has the flag of an animation."""
    return file.has(12, b"VP8X") & tf.equal(file.number(20, 1) // 2 % 2, 1)


def _has_palette(file: "_Bytes") -> tf.Tensor:
    """bool, whether a BMP of 8 bits has a palette other than all levels of grey."""
    start = 14 + file.number(14, 4, little=True)
    count = file.number(46, 4, little=True)
    count = tf.where((count > 0) & (count <= 256), count, 256)
    entries = tf.range(count)
    channels = start + 4 * entries[:, None] + tf.range(3)
    is_grey = tf.reduce_all(tf.equal(file.at(channels), entries[:, None]))
    return tf.equal(file.number(28, 2, little=True), 8) & ~is_grey


class _Bytes:
    """Random access to a file's bytes. Beyond its end they are 0."""

    def __init__(self, data: tf.Tensor):
        self.size = tf.strings.length(data)
        self._values = tf.concat([tf.io.decode_raw(data, tf.uint8), tf.zeros(1, tf.uint8)], 0)

    def until(self, end: tf.Tensor) -> "_Bytes":
        """The same bytes, as if the file ended at `end`."""
        part = copy.copy(self)
        part.size = tf.where(end >= 0, tf.minimum(end, self.size), self.size)
        return part

    def at(self, positions: tf.Tensor) -> tf.Tensor:
        """int32, the bytes at int32 positions."""
        inside = (positions >= 0) & (positions < self.size)
        last = tf.shape(self._values)[0] - 1
        return tf.cast(tf.gather(self._values, tf.where(inside, positions, last)), tf.int32)

    def number(
        self, position: tf.Tensor | int, count: int, little: tf.Tensor | bool = False
    ) -> tf.Tensor:
        """The unsigned number of `count` bytes at a position, at most 2**31 - 1."""
        order = tf.range(count)
        order = tf.where(little, order[::-1], order)
        digits = self.at(tf.convert_to_tensor(position)[..., None] + order)
        value = tf.zeros_like(digits[..., 0], tf.int64)
        for place in range(count):
            value = value * 256 + tf.cast(digits[..., place], tf.int64)
        return tf.cast(tf.minimum(value, 2**31 - 1), tf.int32)

    def has(self, position: tf.Tensor | int, text: bytes) -> tf.Tensor:
        """bool, whether `text` stands at a position."""
        return tf.reduce_all(tf.equal(self.at(position + tf.range(len(text))), list(text)))


def _walk(file: _Bytes, start: int, step: _Step) -> _Found:
    """Goes from block to block, and keeps the first finding of each kind."""

    def body(
        at: tf.Tensor, exif: tf.Tensor, exif_end: tf.Tensor, clear: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        following, found = step(at)
        # A block that ends before it begins, or beyond the file, is the last one.
        following = tf.where(following > at, following, file.size)
        return (
            following,
            tf.where(exif >= 0, exif, found.exif),
            tf.where(exif >= 0, exif_end, found.exif_end),
            tf.where(clear >= 0, clear, found.clear),
        )

    _, *found = tf.while_loop(
        lambda at, *_: (at >= 0) & (at < file.size),
        body,
        (tf.constant(start), *[tf.constant(_NONE)] * 3),
    )
    return _Found(*found)


def _end(at: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """The end of a block; beyond 2**31 - 1 it is -1, which ends the walk."""
    end = tf.cast(at, tf.int64) + tf.cast(length, tf.int64)
    return tf.cast(tf.where(end < 2**31, end, -1), tf.int32)


def _if(found: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    return tf.where(found, position, _NONE)


def _png_chunk(file: _Bytes, at: tf.Tensor) -> tuple[tf.Tensor, _Found]:
    following = _end(at + 12, file.number(at, 4))
    exif, clear = file.has(at + 4, b"eXIf"), file.has(at + 4, b"tRNS")
    return following, _Found(_if(exif, at + 8), following - 4, _if(clear, at + 8))


def _jpeg_segment(file: _Bytes, at: tf.Tensor) -> tuple[tf.Tensor, _Found]:
    first, marker = file.at(at), file.at(at + 1)
    alone = ((marker >= 0xD0) & (marker <= 0xD8)) | tf.equal(marker, 1)
    following = _end(at + 2, tf.where(alone, 0, file.number(at + 2, 2)))
    following = tf.where(tf.equal(marker, 0xFF), at + 1, following)  # filling
    # The pixels begin at 0xDA, and nothing of interest follows.
    last = ~tf.equal(first, 0xFF) | tf.equal(marker, 0xDA) | tf.equal(marker, 0xD9)
    exif = tf.equal(marker, 0xE1) & file.has(at + 4, b"Exif\0\0") & ~last
    return _if(~last, following), _Found(_if(exif, at + 10), following, tf.constant(_NONE))


def _webp_chunk(file: _Bytes, at: tf.Tensor) -> tuple[tf.Tensor, _Found]:
    length = file.number(at + 4, 4, little=True)
    exif = file.has(at, b"EXIF")
    prefix = tf.where(file.has(at + 8, b"Exif\0\0"), 6, 0)
    following = _end(at + 8, length + length % 2)
    return following, _Found(_if(exif, at + 8 + prefix), _end(at + 8, length), tf.constant(_NONE))


def _orientation(file: _Bytes, start: tf.Tensor) -> tf.Tensor:
    """The orientation in EXIF data that begin at `start`, 1 to 8; 1 if there is none."""
    little = file.has(start, b"II*\0")
    known = little | file.has(start, b"MM\0*")
    directory = _end(start, file.number(start + 4, 4, little))
    known &= directory >= 0
    count = file.number(directory, 2, little)
    count = tf.minimum(count, (file.size - directory - 2) // 12)
    entries = directory + 2 + 12 * tf.range(tf.where(known, tf.maximum(count, 0), 0))
    tags, kinds = (file.number(entries + offset, 2, little) for offset in (0, 2))
    values = tf.where(
        tf.equal(kinds, 3),
        file.number(entries + 8, 2, little),
        file.number(entries + 8, 4, little),
    )
    counts = file.number(entries + 4, 4, little)
    usable = tf.equal(tags, 0x112) & tf.equal(counts, 1)
    usable &= tf.equal(kinds, 3) | tf.equal(kinds, 4)
    values = tf.boolean_mask(values, usable & (values >= 1) & (values <= 8))
    return tf.concat([values, [1]], 0)[0]
