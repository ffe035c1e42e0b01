"""Transplants: labelled defects, put into other images; a few then go a long way.

Needs to know where they are. Pasting seen anomalies into normal images is how Zhang et al.,
*Prototypical Residual Networks for Anomaly Detection and Localization*, CVPR 2023, extend them.
"""

import math

import tensorflow as tf

# Largest move of a defect and how near to the edge its middle may come, as shares of the image's
# side; its largest change of size.
FARTHEST, MARGIN = 0.4, 0.1
LARGEST_SCALE = 1.4


def transplant(
    images: tf.Tensor, donors: tf.Tensor, where: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Puts the anomalous place of each donor into an image: turned, mirrored, scaled and moved.

    Args:
        images: uint8 [N, S, S, C], normal ones.
        donors: uint8 [N, S, S, C], anomalies.
        where: uint8 [N, S, S, 1], 255 where a donor is anomalous, else 0. Those that are so
            everywhere, as far as we know, stay as they are.
        seed: int32 [2]; the same seed gives the same transplants.

    Returns:
        images: uint8 [N, S, S, C].
        where: uint8 [N, S, S, 1], 255 where these are anomalous.
    """
    defects, inside = _move(tf.cast(donors, tf.float32), tf.cast(where, tf.float32) / 255, seed)
    # One pixel of soft edge, or the seam would be what is learnt.
    opacity = tf.maximum(inside, tf.nn.avg_pool2d(inside, 3, 1, "SAME"))
    pixels = tf.cast(images, tf.float32)
    pasted = tf.round(pixels + opacity * (defects - pixels))
    unknown = tf.reduce_all(where == 255, axis=[1, 2, 3], keepdims=True)
    return (
        tf.where(unknown, donors, tf.cast(pasted, tf.uint8)),
        tf.where(unknown, where, tf.cast(255 * inside, tf.uint8)),
    )


def _move(images: tf.Tensor, where: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Turns each image by any angle about its defect's middle, mirrors, scales and moves it.

    Args:
        images: float32 [N, S, S, C].
        where: float32 [N, S, S, 1], 0 or 1.
        seed: int32 [2].

    Returns:
        Both, so moved; bilinear between pixels, and no defect where nothing is known of the image.
    """
    side = images.shape[1]
    draws = tf.random.stateless_uniform([5, tf.shape(images)[0], 1, 1], seed, -1.0, 1.0)
    angle, scale = math.pi * draws[0], LARGEST_SCALE ** draws[1]
    mirror = tf.where(draws[2] < 0, -1.0, 1.0)
    positions = tf.range(side, dtype=tf.float32)
    y, x = positions[None, :, None], positions[None, None, :]
    area = tf.maximum(tf.reduce_sum(where[..., 0], axis=[1, 2], keepdims=True), 1.0)

    def ends(along, draw):
        """Where the defect's middle is, and where it is to be."""
        middle = tf.reduce_sum(where[..., 0] * along, axis=[1, 2], keepdims=True) / area
        target = middle + FARTHEST * side * draw
        return middle, tf.clip_by_value(target, MARGIN * side, (1 - MARGIN) * side)

    (from_y, to_y), (from_x, to_x) = ends(y, draws[3]), ends(x, draws[4])
    # The place in the old image of each pixel of the new one.
    y, x = (y - to_y) / scale, (x - to_x) / scale
    y, x = (
        from_y + tf.cos(angle) * y + tf.sin(angle) * x,
        from_x + mirror * (tf.cos(angle) * x - tf.sin(angle) * y),
    )
    known = (y >= 0) & (y <= side - 1) & (x >= 0) & (x <= side - 1)
    moved = _between_pixels(tf.concat([images, where], axis=-1), y, x)
    return moved[..., :-1], tf.where(known[..., None] & (moved[..., -1:] >= 0.5), 1.0, 0.0)


def _between_pixels(images: tf.Tensor, y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Values at places y, x [N, S, S] of images float32 [N, S, S, C]; edge pixels go on for ever.

    `ImageProjectiveTransformV3` would do, but XLA cannot compile it.
    """
    count, side, channels = tf.shape(images)[0], images.shape[1], images.shape[3]
    y, x = tf.clip_by_value(y, 0, side - 1), tf.clip_by_value(x, 0, side - 1)
    top, left = tf.minimum(tf.floor(y), side - 2), tf.minimum(tf.floor(x), side - 2)
    down, right = (y - top)[..., None], (x - left)[..., None]
    flat = tf.reshape(images, [count, side * side, channels])
    first = tf.reshape(tf.cast(top, tf.int32) * side + tf.cast(left, tf.int32), [count, -1])

    def at(offset):
        pixels = tf.gather(flat, first + offset, axis=1, batch_dims=1)
        return tf.reshape(pixels, [count, side, side, channels])

    upper = (1 - right) * at(0) + right * at(1)
    lower = (1 - right) * at(side) + right * at(side + 1)
    return (1 - down) * upper + down * lower
