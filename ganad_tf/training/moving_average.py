"""The moving average of a network's weights, kept inside the training step."""

from collections.abc import Sequence

import keras
import tensorflow as tf


def move_average(
    averages: Sequence[keras.Variable],
    currents: Sequence[keras.Variable],
    momentum: float,
    step: keras.Variable,
) -> None:
    """Moves each average towards the current weight; in a replica context only.

    Args:
        averages, currents: variables of the same shapes.
        momentum: share of the old average that is kept, in [0, 1). Step t keeps at most
            (1 + t) / (10 + t), as in TensorFlow's ExponentialMovingAverage with `num_updates`, so
            that the average does not remember the initial weights.
        step: how many training steps were done.
    """
    done = tf.cast(step.value, tf.float32)
    momentum = tf.minimum(momentum, (1 + done) / (10 + done))

    def move(average, current, momentum):
        average.assign_add((1 - momentum) * (current - average))

    def update(strategy, averages, currents, momentum):
        for average, current in zip(averages, currents, strict=True):
            strategy.extended.update(average, move, args=(current, momentum), group=False)

    # A merge call, because weights created by layers may not be assigned inside a replica.
    tf.distribute.get_replica_context().merge_call(
        update,
        args=([v.value for v in averages], [v.value for v in currents], momentum),
    )
