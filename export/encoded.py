"""Encoded image files into what the detector takes, as a TensorFlow graph for serving."""

from collections.abc import Callable

import tensorflow as tf

from .encoded_metadata import Metadata, read_metadata
from .runtime import JPEG_FACTORS, JPEG_ROOM

# ITU-R 601 luma in 16-bit fixed point, as Pillow computes it.
LUMA = (19595, 38470, 7471)


def decode(
    encoded: tf.Tensor,
    image_shape: tuple[int, int, int],
    resize: str = "stretch",
    bit_depth: int = 16,
) -> tf.Tensor:
    """Decodes PNG, JPEG, BMP, GIF and WebP files of any size.

    The same rules as `export.runtime.prepare`: the orientation in the EXIF data is applied, 16-bit
    values are scaled by their bit depth, transparency is laid over black, grey is 601 luma, other
    sizes are scaled by Pillow's bilinear filter, and animations give their first frame, except that
    an animated WebP and a BMP with a palette are refused. The pixels are the same to the last bit;
    for resized ones see `_resize`.

    Args:
        encoded: string [N], the files' bytes.
        image_shape: (h, w, C), C = 1 or 3.
        resize: `stretch` or `pad`, as there.
        bit_depth: how many bits of 16-bit files are in use, as there.

    Returns:
        uint8 [N, h, w, C].
    """
    return tf.map_fn(
        lambda data: _decode_one(data, image_shape, resize, bit_depth),
        encoded,
        fn_output_signature=tf.TensorSpec(image_shape, tf.uint8),
    )


def _decode_one(
    data: tf.Tensor, image_shape: tuple[int, int, int], resize: str, bit_depth: int
) -> tf.Tensor:
    height, width, channels = image_shape
    metadata = read_metadata(data)
    refusal = (
        "expected a file that TensorFlow decodes. Received: an animated WebP, or a palette in BMP"
    )
    with tf.control_dependencies([tf.debugging.Assert(~metadata.is_misread, [refusal])]):
        data = tf.where(metadata.is_misread, "", data)
    pixels = tf.cond(
        metadata.is_deep,
        lambda: _decode_deep(data, bit_depth),
        lambda: _decode_eight_bits(data, image_shape),
    )
    pixels = _over_black(tf.ensure_shape(pixels, [None, None, None]), metadata)
    grey = tf.equal(tf.shape(pixels)[-1], 1)
    if channels == 1:
        repeated = tf.broadcast_to(pixels, tf.concat([tf.shape(pixels)[:2], [3]], 0))
        luma = tf.reduce_sum(repeated * LUMA, axis=-1, keepdims=True) + 0x8000
        pixels = tf.where(grey, pixels[..., :1], luma // 65536)
    else:
        pixels = tf.broadcast_to(pixels, tf.concat([tf.shape(pixels)[:2], [3]], 0))
    pixels = _upright(tf.ensure_shape(pixels, [None, None, channels]), metadata.orientation)
    left, top, wide, high = _placed(tf.shape(pixels), width, height, resize)
    fits = tf.reduce_all(tf.equal(tf.shape(pixels)[:2], [high, wide]))
    resized = tf.cond(fits, lambda: pixels, lambda: _resize(pixels, high, wide))
    resized = tf.image.pad_to_bounding_box(resized, top, left, height, width)
    return tf.cast(tf.ensure_shape(resized, image_shape), tf.uint8)


def _decode_eight_bits(data: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """int32 [h, w, 1 to 4]."""
    pixels = tf.cond(
        tf.io.is_jpeg(data),
        lambda: _decode_jpeg(data, image_shape),
        lambda: tf.io.decode_image(data, channels=0, expand_animations=False),
    )
    return tf.cast(tf.ensure_shape(pixels, [None, None, None]), tf.int32)


def _decode_jpeg(data: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """uint8 [h, w, C], decoded smaller as far as `export.runtime.jpeg_factor` says."""
    sides = tf.io.extract_jpeg_shape(data)[:2]
    least = JPEG_ROOM * max(image_shape[:2])
    factors = sorted([1, *JPEG_FACTORS])
    # A factor that fits follows smaller ones that fit, too.
    fits = [tf.reduce_all((sides % f == 0) & (sides // f >= least)) for f in factors[1:]]
    which = tf.add_n([tf.cast(one, tf.int32) for one in fits])

    def decoder(factor: int) -> Callable[[], tf.Tensor]:
        # As Pillow decodes; unasked, TensorFlow takes a faster transform that rounds otherwise.
        method = "INTEGER_ACCURATE"
        return lambda: tf.io.decode_jpeg(data, channels=0, ratio=factor, dct_method=method)

    return tf.switch_case(which, [decoder(factor) for factor in factors])


def _decode_deep(data: tf.Tensor, bit_depth: int) -> tf.Tensor:
    """A 16-bit PNG in 8 bits, int32 [h, w, 1 to 4]."""
    values = tf.cast(tf.io.decode_png(data, channels=0, dtype=tf.uint16), tf.int32)
    highest = 2**bit_depth - 1
    return tf.minimum((values * 510 + highest) // (2 * highest), 255)


def _over_black(pixels: tf.Tensor, metadata: Metadata) -> tf.Tensor:
    """Lays transparent pixels over black: int32 [h, w, 1 to 4] to [h, w, 1 or 3]."""
    stored = tf.shape(pixels)[-1]
    # Two and four channels end in opacity; over black it is a factor. Pillow's integer rounding.
    has_opacity = tf.equal(stored % 2, 0)
    colours = stored - tf.cast(has_opacity, tf.int32)
    product = pixels[..., :colours] * pixels[..., -1:] + 128
    laid = (product + product // 256) // 256
    pixels = tf.where(has_opacity, laid, pixels[..., :colours])
    # One colour of a PNG without opacity may be declared transparent; TensorFlow leaves it.
    is_clear = tf.reduce_all(tf.equal(pixels, metadata.clear_colour[:colours]), -1, keepdims=True)
    return tf.where(is_clear & metadata.has_clear_colour & ~has_opacity, 0, pixels)


def _upright(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Applies an EXIF orientation, 1 to 8, to int32 [h, w, C]."""
    pixels = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)
    # After the transposition of 5 to 8, which rows and columns run backwards.
    upside_down = tf.reduce_any(tf.equal(orientation, [3, 4, 7, 8]))
    mirrored = tf.reduce_any(tf.equal(orientation, [2, 3, 6, 7]))
    pixels = tf.cond(upside_down, lambda: pixels[::-1], lambda: pixels)
    return tf.cond(mirrored, lambda: pixels[:, ::-1], lambda: pixels)


def _resize(pixels: tf.Tensor, high: tf.Tensor | int, wide: tf.Tensor | int) -> tf.Tensor:
    """Scales int32 [h, w, C] to [high, wide, C] as Pillow does: rows, rounding, columns.

    Pillow 13 takes the columns first where that is less work, mostly for images much higher than
    wide. Their pixels may differ by one level, as they do between Pillow 12 and 13.
    """
    pixels = _resize_rows(pixels, wide)
    return tf.transpose(_resize_rows(tf.transpose(pixels, [1, 0, 2]), high), [1, 0, 2])


def _resize_rows(pixels: tf.Tensor, size: tf.Tensor | int) -> tf.Tensor:
    """Scales int32 [h, w, C] to [h, size, C] with a triangular filter.

    The weights are those of Pillow's `precompute_coeffs`: doubles, then whole numbers of 2 ** -22.
    """
    length = tf.shape(pixels)[1]
    scale = tf.cast(length, tf.float64) / tf.cast(size, tf.float64)
    support = tf.maximum(scale, 1.0)
    centres = (tf.cast(tf.range(size), tf.float64) + 0.5) * scale
    first = tf.maximum(tf.cast(centres - support + 0.5, tf.int32), 0)
    last = tf.minimum(tf.cast(centres + support + 0.5, tf.int32), length)
    places = first[:, None] + tf.range(tf.reduce_max(last - first))
    distances = (tf.cast(places, tf.float64) - centres[:, None] + 0.5) * (1.0 / support)
    weights = tf.where(places < last[:, None], tf.maximum(1.0 - tf.abs(distances), 0.0), 0.0)
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    whole = tf.cast(weights * 2.0**22 + 0.5, tf.int32)
    places = tf.minimum(places, length - 1)

    def add(tap: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shifted = tf.gather(pixels, places[:, tap], axis=1)
        return tap + 1, total + shifted * whole[:, tap, None]

    # One step for each weight, so that a large photo is never held as many times as it has weights.
    begin = tf.fill([tf.shape(pixels)[0], size, pixels.shape[2]], 2**21)
    _, total = tf.while_loop(
        lambda tap, _: tap < tf.shape(places)[1],
        add,
        (tf.constant(0), begin),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None, pixels.shape[2]])),
    )
    return tf.bitwise.right_shift(total, 22)


def _placed(shape: tf.Tensor, width: int, height: int, resize: str) -> tuple[tf.Tensor | int, ...]:
    """`export.runtime.placed` in a graph: left, top, width and height in the frame."""
    if resize == "stretch":
        return 0, 0, width, height
    # 64 bits: the sides of a large image multiplied with those of the frame.
    high, wide = tf.cast(shape[0], tf.int64), tf.cast(shape[1], tf.int64)
    is_wide = wide * height >= high * width
    by_width = tf.maximum((2 * high * width + wide) // (2 * wide), 1)
    by_height = tf.maximum((2 * wide * height + high) // (2 * high), 1)
    wide = tf.where(is_wide, tf.constant(width, tf.int64), by_height)
    high = tf.where(is_wide, by_width, tf.constant(height, tf.int64))
    wide, high = tf.cast(wide, tf.int32), tf.cast(high, tf.int32)
    return (width - wide) // 2, (height - high) // 2, wide, high
