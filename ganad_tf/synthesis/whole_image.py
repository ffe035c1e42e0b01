"""Synthetic anomalies that change a whole image."""

import tensorflow as tf

# Parts per side in `shuffle`; images whose sides it does not divide keep their remainder in place.
PARTS = 4


def rotate(images: tf.Tensor, seed: tf.Tensor, min_quarters: int = 1) -> tf.Tensor:
    """Rotates each image by `min_quarters` to 3 times 90 degrees; with 0, some stay as they are."""
    quarters = tf.random.stateless_uniform(
        [tf.shape(images)[0], 1, 1, 1], seed, min_quarters, 4, tf.int32
    )
    half = images[:, ::-1, ::-1]
    left = tf.transpose(images, [0, 2, 1, 3])[:, ::-1]
    right = tf.transpose(images, [0, 2, 1, 3])[:, :, ::-1]
    rotated = tf.where(quarters == 1, left, tf.where(quarters == 2, half, right))
    return rotated if min_quarters else tf.where(quarters == 0, images, rotated)


def shuffle(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Puts the PARTS x PARTS tiles of each image in another order."""
    count, channels = tf.shape(images)[0], images.shape[3]
    tile_h, tile_w = images.shape[1] // PARTS, images.shape[2] // PARTS
    height, width = tile_h * PARTS, tile_w * PARTS
    tiles = tf.reshape(images[:, :height, :width], [-1, PARTS, tile_h, PARTS, tile_w, channels])
    tiles = tf.reshape(
        tf.transpose(tiles, [0, 1, 3, 2, 4, 5]), [-1, PARTS**2, tile_h, tile_w, channels]
    )
    order = tf.argsort(tf.random.stateless_uniform([count, PARTS**2], seed), axis=1)
    tiles = tf.gather(tiles, order, axis=1, batch_dims=1)
    tiles = tf.reshape(tiles, [-1, PARTS, PARTS, tile_h, tile_w, channels])
    whole = tf.reshape(tf.transpose(tiles, [0, 1, 3, 2, 4, 5]), [-1, height, width, channels])
    rows = tf.concat([whole, images[:, :height, width:]], axis=2)
    return tf.concat([rows, images[:, height:]], axis=1)


def cut_and_paste(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Pastes a rectangle from elsewhere in the same image over another place.

    Sides are a quarter to three quarters of the image's; the piece comes from at least a quarter of
    the image away, in both directions, around the edges.
    """
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    draws = tf.random.stateless_uniform([6, count, 1], seed)

    def along(length, size, start, shift):
        extent = size * length / 2 + length / 4
        first = start * (length - extent)
        positions = tf.range(length, dtype=tf.float32)[None, :]
        inside = (positions >= first) & (positions < first + extent)
        offset = tf.cast(length / 4 + shift * length / 2, tf.int32)
        return inside, (tf.range(length)[None, :] + offset) % length

    in_rows, rows = along(height, draws[0], draws[1], draws[2])
    in_columns, columns = along(width, draws[3], draws[4], draws[5])
    moved = tf.gather(images, rows, axis=1, batch_dims=1)
    moved = tf.gather(moved, columns, axis=2, batch_dims=1)
    inside = in_rows[:, :, None, None] & in_columns[:, None, :, None]
    return tf.where(inside, moved, images)
