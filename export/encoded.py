"""Encoded image files into what the detector takes, as a TensorFlow graph for serving."""

import tensorflow as tf

# ITU-R 601 luma in 16-bit fixed point, as Pillow computes it.
LUMA = (19595, 38470, 7471)


def decode(
    encoded: tf.Tensor, image_shape: tuple[int, int, int], fit: str = "stretch"
) -> tf.Tensor:
    """Decodes PNG, JPEG, BMP and GIF files of any size.

    The same rules as `export.runtime.prepare`: transparency over black, 601 luma for grey, other
    sizes by the bilinear filter that averages when shrinking, the first frame of animations. Equal
    pixels come out equal; resized ones may differ by one level of 255, since Pillow rounds between
    its two passes. Unlike there, 16-bit PNGs lose their lower byte by truncation.

    Args:
        encoded: string [N], the files' bytes.
        image_shape: (h, w, C), C = 1 or 3.
        fit: `stretch` or `pad`, as there.

    Returns:
        uint8 [N, h, w, C].
    """
    return tf.map_fn(
        lambda data: _decode_one(data, image_shape, fit),
        encoded,
        fn_output_signature=tf.TensorSpec(image_shape, tf.uint8),
    )


def _decode_one(data: tf.Tensor, image_shape: tuple[int, int, int], fit: str) -> tf.Tensor:
    height, width, channels = image_shape
    pixels = tf.cond(
        tf.io.is_jpeg(data),
        # As Pillow decodes; unasked, TensorFlow takes a faster transform that rounds otherwise.
        lambda: tf.io.decode_jpeg(data, channels=0, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(data, channels=0, expand_animations=False),
    )
    pixels = tf.cast(tf.ensure_shape(pixels, [None, None, None]), tf.int32)
    stored = tf.shape(pixels)[-1]
    # Two and four channels end in opacity; over black it is a factor. Pillow's integer rounding.
    colours = stored - tf.cast(tf.equal(stored % 2, 0), tf.int32)
    product = pixels[..., :colours] * pixels[..., -1:] + 128
    laid = (product + product // 256) // 256
    pixels = tf.where(tf.equal(stored % 2, 0), laid, pixels[..., :colours])
    grey = tf.equal(colours, 1)
    if channels == 1:
        repeated = tf.broadcast_to(pixels, tf.concat([tf.shape(pixels)[:2], [3]], 0))
        luma = tf.reduce_sum(repeated * LUMA, axis=-1, keepdims=True) + 0x8000
        pixels = tf.where(grey, pixels[..., :1], luma // 65536)
    else:
        pixels = tf.broadcast_to(pixels, tf.concat([tf.shape(pixels)[:2], [3]], 0))
    pixels = tf.ensure_shape(pixels, [None, None, channels])
    left, top, wide, high = _placed(tf.shape(pixels), width, height, fit)
    fits = tf.reduce_all(tf.equal(tf.shape(pixels)[:2], [high, wide]))
    resized = tf.cond(
        fits,
        lambda: tf.cast(pixels, tf.float32),
        lambda: tf.image.resize(pixels, [high, wide], "bilinear", antialias=True),
    )
    resized = tf.image.pad_to_bounding_box(resized, top, left, height, width)
    return tf.cast(tf.ensure_shape(tf.round(resized), image_shape), tf.uint8)


def _placed(shape: tf.Tensor, width: int, height: int, fit: str):
    """`export.runtime.placed` in a graph: left, top, width and height in the frame."""
    if fit == "stretch":
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
