"""Blots: places of any size and shape in which an image is changed, as by a defect.

The idea of anomalies from noise-shaped masks is that of Zavrtanik et al., *DRAEM*, ICCV 2021; thin
ones are the scars of Li et al., *CutPaste*, CVPR 2021.
"""

import tensorflow as tf

# Half the length of a blot, as a share of the image's side.
SHORTEST, LONGEST = 0.05, 0.35
# How many times longer than wide a blot may be.
MOST_STRETCHED = 12.0
# A blot is at least this many pixels wide, or nothing of it could be seen.
THINNEST = 1.5
# A change of fewer grey levels, averaged over 5x5 pixels, is no anomaly.
NOTICEABLE = 4.0


def blot(images: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Changes one place of each image.

    The place is an ellipse of random size, direction and elongation, bent by smooth noise. What is
    in it is, by lot, a piece of another image, another brightness, a blurred picture, one plain
    shade, or noise; more or less opaque.

    Args:
        images: uint8 [N, h, w, C].
        seed: int32 [2]; the same seed gives the same blots.

    Returns:
        images: uint8 [N, h, w, C].
        where: uint8 [N, h, w, 1], 255 where an image was noticeably changed, else 0.
    """
    for_shape, for_content, for_strength = tf.unstack(tf.random.split(seed, 3))
    pixels = tf.cast(images, tf.float32)
    shape = _shapes(tf.shape(images)[0], images.shape[1], images.shape[2], for_shape)
    strength = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], for_strength, 0.4, 1.0)
    alpha = shape * strength
    changed = pixels + alpha * (_contents(pixels, for_content) - pixels)
    changed = tf.round(tf.clip_by_value(changed, 0.0, 255.0))
    change = tf.reduce_mean(tf.abs(changed - pixels), axis=3, keepdims=True)
    noticed = tf.nn.avg_pool2d(change, 5, 1, "SAME") > NOTICEABLE
    where = tf.where(noticed & (shape > 0.5), 255, 0)
    return tf.cast(changed, tf.uint8), tf.cast(where, tf.uint8)


def _shapes(count, height: int, width: int, seed) -> tf.Tensor:
    """Opacities in [0, 1] with soft edges, float32 [count, height, width, 1]."""
    for_draws, for_bends = tf.unstack(tf.random.split(seed, 2))
    draws = tf.random.stateless_uniform([5, count, 1, 1], for_draws)
    centre_y, centre_x = 0.08 + 0.84 * draws[0], 0.08 + 0.84 * draws[1]
    angle = draws[2] * 3.14159
    long = SHORTEST * (LONGEST / SHORTEST) ** draws[3]
    side = min(height, width)
    wide = tf.maximum(long * MOST_STRETCHED ** -draws[4], THINNEST / 2 / side)
    bends = tf.random.stateless_normal([count, 4, 4, 2], for_bends)
    bends = tf.image.resize(bends, (height, width), "bicubic")
    y = tf.range(height, dtype=tf.float32)[None, :, None] / height - centre_y
    x = tf.range(width, dtype=tf.float32)[None, None, :] / width - centre_x
    along = y * tf.sin(angle) + x * tf.cos(angle) + 0.15 * long * bends[..., 0]
    across = y * tf.cos(angle) - x * tf.sin(angle) + 0.3 * tf.sqrt(long * wide) * bends[..., 1]
    radius = tf.sqrt((along / long) ** 2 + (across / wide) ** 2 + 1e-6)
    # About the distance to the edge in pixels, positive inside.
    inside = (1 - radius) * wide * side
    return tf.clip_by_value(inside + 0.5, 0.0, 1.0)[..., None]


def _contents(pixels: tf.Tensor, seed) -> tf.Tensor:
    """What fills each image's place, float32 [N, h, w, C], in grey levels."""
    for_lot, for_shade, for_noise, for_level = tf.unstack(tf.random.split(seed, 4))
    count, height, width, channels = tf.shape(pixels)[0], *pixels.shape[1:]
    lot = tf.random.stateless_uniform([count, 1, 1, 1], for_lot, 0, 5, tf.int32)
    # One shade for all channels, and a little of its own for each.
    shade = tf.random.stateless_uniform([count, 1, 1, 1], for_shade, -1.0, 1.0)
    shade += 0.3 * tf.random.stateless_normal([count, 1, 1, channels], for_level)
    other = tf.roll(pixels, [1, height // 2, width // 3], [0, 1, 2])
    shaded = pixels + tf.sign(shade) * (25 + 75 * tf.abs(shade))
    blurred = pixels
    for _ in range(2):
        blurred = tf.nn.avg_pool2d(blurred, 5, 1, "SAME")
    plain = tf.zeros_like(pixels) + 127.5 * (1 + shade)
    noise = pixels + 50 * tf.random.stateless_normal(tf.shape(pixels), for_noise)
    for number, content in enumerate((shaded, blurred, plain, noise), 1):
        other = tf.where(lot == number, content, other)
    return other
