"""Synthetic anomalies, made from normal images inside the graph.

They teach what is normal where no anomaly is labelled, or protect against kinds that are not.
"""

import tensorflow as tf

from ganad_tf.synthesis.local_defects import blot

# Parts per side in `shuffle`; images whose sides it does not divide keep their remainder in place.
PARTS = 4


def synthesise(
    images: tf.Tensor, seed: tf.Tensor, kinds: tuple[str, ...]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes an anomaly of each image by one of the kinds, by lot.

    Args:
        images: uint8 [N, h, w, C], h = w.
        seed: int32 [2]; the same seed gives the same anomalies.
        kinds: some of: `turn` by quarters; `shuffle` tiles; `paste` a piece over another
            place; `blot` changes a place of any size and shape (see `local_defects`).

    Returns:
        images: uint8 [N, h, w, C].
        where: uint8 [N, h, w, 1], 255 where an image was changed by a blot; all 255 for the other
            kinds, which are wrong as a whole.
    """
    for_kind, for_turn, for_shuffle, for_cut = tf.unstack(tf.random.split(seed, 4))
    count = tf.shape(images)[0]
    lot = tf.random.stateless_uniform([count, 1, 1, 1], for_kind, 0, len(kinds), tf.int32)
    make = {
        "turn": lambda: turn(images, for_turn),
        "shuffle": lambda: shuffle(images, for_shuffle),
        "paste": lambda: cut_and_paste(images, for_cut),
    }
    everywhere = tf.fill(tf.concat([tf.shape(images)[:3], [1]], 0), tf.constant(255, tf.uint8))
    made, where = images, everywhere
    for number, kind in enumerate(kinds):
        if kind == "blot":
            changed, place = blot(images, tf.random.fold_in(seed, 1))
        else:
            changed, place = make[kind](), everywhere
        made = tf.where(lot == number, changed, made)
        where = tf.where(lot == number, place, where)
    return made, where


def turn(images: tf.Tensor, seed: tf.Tensor, least: int = 1) -> tf.Tensor:
    """Turns each image by `least` to three quarters; with 0, some stay as they are."""
    quarters = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed, least, 4, tf.int32)
    half = images[:, ::-1, ::-1]
    left = tf.transpose(images, [0, 2, 1, 3])[:, ::-1]
    right = tf.transpose(images, [0, 2, 1, 3])[:, :, ::-1]
    turned = tf.where(quarters == 1, left, tf.where(quarters == 2, half, right))
    return turned if least else tf.where(quarters == 0, images, turned)


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
