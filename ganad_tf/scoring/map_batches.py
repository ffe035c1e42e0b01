"""Runs a graph over images batch by batch."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from ganad_tf.data.image_view import ImageView


def map_batches(
    function: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    images: np.ndarray | ImageView,
    indices: np.ndarray,
    batch_size: int,
) -> dict[str, np.ndarray]:
    """Runs a function of uint8 batches [n, h, w, C] over the images at `indices`.

    The function's own branches and loops are Python's: to look for others in the source of every
    layer (AutoGraph) takes longer than to run it on some hundred images.

    Returns:
        Each of the function's results, [len(indices), ...].
    """
    run = tf.function(
        function,
        input_signature=[tf.TensorSpec((None, *images.shape[1:]), tf.uint8)],
        autograph=False,
    )
    parts = [
        {
            name: value.numpy()
            for name, value in run(images[indices[start : start + batch_size]]).items()
        }
        for start in range(0, len(indices), batch_size)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def map_parts(
    function: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    parts: Sequence[tuple[np.ndarray | ImageView, np.ndarray]],
    batch_size: int,
) -> dict[str, np.ndarray]:
    """As `map_batches`, over several pairs of images and indices; empty without any image."""
    found = [map_batches(function, *part, batch_size) for part in parts if len(part[1])]
    if not found:
        return {}
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}
