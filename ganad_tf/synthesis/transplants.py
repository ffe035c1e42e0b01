"""Transplants: labelled defects, pasted into other images.

The masked defect is pasted into normal images, rotated, flipped, scaled and shifted, so a few masks
yield many training examples. Extending seen anomalies by pasting them: Zhang et al., *Prototypical
Residual Networks for Anomaly Detection and Localization*, CVPR 2023.
"""

import math

import tensorflow as tf

# Largest shift of a defect, and the distance that its centre keeps from the edge, as shares of the
# image's side.
MAX_SHIFT, MARGIN = 0.4, 0.1
# Largest factor of enlargement; defects are reduced by as much.
MAX_SCALE = 1.4


def transplant(
    images: tf.Tensor, donors: tf.Tensor, masks: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pastes the defect of each donor into an image: rotated, flipped, scaled and shifted.

    Args:
        images: uint8 [N, S, S, C], normal ones.
        donors: uint8 [N, S, S, C], anomalies.
        masks: uint8 [N, S, S, 1], 255 where a donor is anomalous, else 0. Donors that are
            anomalous everywhere (their mask is unknown) stay as they are, and so do those whose
            defect is so fine that nothing is left of it between the pixels of its new place.
        seed: int32 [2]; the same seed gives the same transplants.

    Returns:
        images: uint8 [N, S, S, C].
        masks: uint8 [N, S, S, 1], 255 where these are anomalous.
    """
    defects, inside = _move(tf.cast(donors, tf.float32), tf.cast(masks, tf.float32) / 255, seed)
    # One pixel of soft edge. Otherwise the network would learn the seam.
    opacity = tf.maximum(inside, tf.nn.avg_pool2d(inside, 3, 1, "SAME"))
    pixels = tf.cast(images, tf.float32)
    pasted = tf.round(pixels + opacity * (defects - pixels))
    unknown = tf.reduce_all(masks == 255, axis=[1, 2, 3], keepdims=True)
    # Without a defect, the normal image would be learnt as an anomaly.
    lost = tf.reduce_all(inside == 0, axis=[1, 2, 3], keepdims=True)
    return (
        tf.where(unknown | lost, donors, tf.cast(pasted, tf.uint8)),
        tf.where(unknown | lost, masks, tf.cast(255 * inside, tf.uint8)),
    )


def _move(images: tf.Tensor, masks: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Rotates each image by any angle about its defect's centre, flips, scales and shifts it.

    Args:
        images: float32 [N, S, S, C].
        masks: float32 [N, S, S, 1], 0 or 1.
        seed: int32 [2].

    Returns:
        Both, moved alike and interpolated bilinearly; no defect outside of the old image.
    """
    side = images.shape[1]
    draws = tf.random.stateless_uniform([5, tf.shape(images)[0], 1, 1], seed, -1.0, 1.0)
    angle, scale = math.pi * draws[0], MAX_SCALE ** draws[1]
    mirror = tf.where(draws[2] < 0, -1.0, 1.0)
    positions = tf.range(side, dtype=tf.float32)
    y, x = positions[None, :, None], positions[None, None, :]
    area = tf.maximum(tf.reduce_sum(masks[..., 0], axis=[1, 2], keepdims=True), 1.0)

    def ends(along, draw):
        """The centre of the defect along an axis, before and after."""
        middle = tf.reduce_sum(masks[..., 0] * along, axis=[1, 2], keepdims=True) / area
        target = middle + MAX_SHIFT * side * draw
        return middle, tf.clip_by_value(target, MARGIN * side, (1 - MARGIN) * side)

    (from_y, to_y), (from_x, to_x) = ends(y, draws[3]), ends(x, draws[4])
    # The position in the old image of each pixel of the new one.
    y, x = (y - to_y) / scale, (x - to_x) / scale
    y, x = (
        from_y + tf.cos(angle) * y + tf.sin(angle) * x,
        from_x + mirror * (tf.cos(angle) * x - tf.sin(angle) * y),
    )
    known = (y >= 0) & (y <= side - 1) & (x >= 0) & (x <= side - 1)
    moved = _between_pixels(tf.concat([images, masks], axis=-1), y, x)
    return moved[..., :-1], tf.where(known[..., None] & (moved[..., -1:] >= 0.5), 1.0, 0.0)


def _between_pixels(images: tf.Tensor, y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Values at places y, x [N, S, S] of images float32 [N, S, S, C]; the edge is repeated.

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
