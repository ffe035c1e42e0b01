"""Local defects: places of random size and shape in which an image is changed.

Anomalies from noise-shaped masks: Zavrtanik et al., *DRAEM*, ICCV 2021. Thin ones are the scars of
Li et al., *CutPaste*, CVPR 2021. All sizes below were chosen on the textures of
benchmarks.texture_data.
"""

import numpy as np
import tensorflow as tf

# Half of a defect's length, as a share of the image's side.
MIN_LENGTH, MAX_LENGTH = 0.05, 0.35
# Largest ratio of length to width.
MAX_ELONGATION = 12.0
# In pixels. A narrower defect would vanish between pixels.
MIN_WIDTH = 1.5
# Mean change over 5x5 pixels, in grey levels, below which a pixel does not count as anomalous.
MIN_CHANGE = 4.0
# Share of the image's side within which no defect has its centre.
MARGIN = 0.08
# Opacity of what is put into a defect.
MIN_OPACITY = 0.4


def local_defect(images: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Changes one place of each image.

    The place is an ellipse of random size, direction and elongation, bent by smooth noise. It is
    filled with a piece of another image, another brightness, a blurred copy, one plain shade, or
    noise, at a random opacity.

    Args:
        images: uint8 [N, h, w, C].
        seed: int32 [2]; the same seed gives the same defects.

    Returns:
        images: uint8 [N, h, w, C].
        masks: uint8 [N, h, w, 1], 255 where an image was noticeably changed, else 0.
    """
    for_shape, for_content, for_strength = tf.unstack(tf.random.split(seed, 3))
    pixels = tf.cast(images, tf.float32)
    shape = _shapes(tf.shape(images)[0], images.shape[1], images.shape[2], for_shape)
    strength = tf.random.stateless_uniform(
        [tf.shape(images)[0], 1, 1, 1], for_strength, MIN_OPACITY, 1.0
    )
    alpha = shape * strength
    changed = pixels + alpha * (_contents(pixels, for_content) - pixels)
    changed = tf.round(tf.clip_by_value(changed, 0.0, 255.0))
    change = tf.reduce_mean(tf.abs(changed - pixels), axis=3, keepdims=True)
    noticed = tf.nn.avg_pool2d(change, 5, 1, "SAME") > MIN_CHANGE
    masks = tf.where(noticed & (shape > 0.5), 255, 0)
    return tf.cast(changed, tf.uint8), tf.cast(masks, tf.uint8)


def _shapes(count: tf.Tensor, height: int, width: int, seed: tf.Tensor) -> tf.Tensor:
    """Opacities in [0, 1] with soft edges, float32 [count, height, width, 1]."""
    for_draws, for_bends = tf.unstack(tf.random.split(seed, 2))
    draws = tf.random.stateless_uniform([5, count, 1, 1], for_draws)
    centre_y, centre_x = (MARGIN + (1 - 2 * MARGIN) * draws[n] for n in (0, 1))
    angle = draws[2] * 3.14159
    long = MIN_LENGTH * (MAX_LENGTH / MIN_LENGTH) ** draws[3]
    side = min(height, width)
    wide = tf.maximum(long * MAX_ELONGATION ** -draws[4], MIN_WIDTH / 2 / side)
    bends = tf.random.stateless_normal([count, 4, 4, 2], for_bends)
    bends = tf.einsum("hi,nijc,wj->nhwc", _bicubic(height), bends, _bicubic(width))
    y = tf.range(height, dtype=tf.float32)[None, :, None] / height - centre_y
    x = tf.range(width, dtype=tf.float32)[None, None, :] / width - centre_x
    along = y * tf.sin(angle) + x * tf.cos(angle) + 0.15 * long * bends[..., 0]
    across = y * tf.cos(angle) - x * tf.sin(angle) + 0.3 * tf.sqrt(long * wide) * bends[..., 1]
    radius = tf.sqrt((along / long) ** 2 + (across / wide) ** 2 + 1e-6)
    # About the distance to the edge in pixels, positive inside.
    inside = (1 - radius) * wide * side
    return tf.clip_by_value(inside + 0.5, 0.0, 1.0)[..., None]


def _bicubic(size: int) -> np.ndarray:
    """What enlarges four values to `size` by bicubic interpolation, float32 [size, 4].

    `tf.image.resize` itself has no bicubic kernel for GPUs, and XLA, which compiles the step there,
    refuses it.
    """
    with tf.init_scope():
        unit = tf.eye(4)[None, :, :, None]
        return tf.image.resize(unit, (size, 4), "bicubic")[0, :, :, 0].numpy()


def _contents(pixels: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """What fills each image's place, float32 [N, h, w, C], in grey levels."""
    for_lot, for_shade, for_noise, for_level = tf.unstack(tf.random.split(seed, 4))
    count = tf.shape(pixels)[0]
    height, width, channels = pixels.shape[1:]
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
