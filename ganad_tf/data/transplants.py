"""Transplants: labelled defects, put into other images; a few then go a long way.

Needs to know where they are. Pasting seen anomalies into normal images is how Zhang et al.,
*Prototypical Residual Networks for Anomaly Detection and Localization*, CVPR 2023, extend them.
"""

import tensorflow as tf

from ganad_tf.data import synthetic

# Largest move of a defect, as a share of the image's side.
FARTHEST = 0.3


def transplant(
    images: tf.Tensor, donors: tf.Tensor, where: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Puts the anomalous place of each donor into an image: mirrored, turned by quarters, moved.

    What leaves the image at one edge comes in at the opposite one.

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
    for_turn, for_mirror, for_rows, for_columns = tf.unstack(tf.random.split(seed, 4))
    count, side = tf.shape(images)[0], images.shape[1]
    moved = synthetic.turn(tf.concat([donors, where], axis=-1), for_turn, least=0)
    positions = tf.range(side)[None, :]
    mirrored = tf.random.stateless_uniform([count, 1], for_mirror) < 0.5
    farthest = round(FARTHEST * side)

    def shifts(seed):
        return tf.random.stateless_uniform([count, 1], seed, -farthest, farthest + 1, tf.int32)

    rows = (positions + shifts(for_rows)) % side
    columns = (tf.where(mirrored, side - 1 - positions, positions) + shifts(for_columns)) % side
    moved = tf.gather(moved, rows, axis=1, batch_dims=1)
    moved = tf.gather(moved, columns, axis=2, batch_dims=1)
    defects, places = moved[..., :-1], moved[..., -1:]
    # One pixel of soft edge, or the seam would be what is learnt.
    inside = tf.cast(places, tf.float32) / 255
    opacity = tf.maximum(inside, tf.nn.avg_pool2d(inside, 3, 1, "SAME"))
    pixels = tf.cast(images, tf.float32)
    pasted = pixels + opacity * (tf.cast(defects, tf.float32) - pixels)
    unknown = tf.reduce_all(where == 255, axis=[1, 2, 3], keepdims=True)
    return (
        tf.where(unknown, donors, tf.cast(tf.round(pasted), tf.uint8)),
        tf.where(unknown, where, places),
    )
