"""The moving average of weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.training.moving_average import move_average


def moved(average, current, momentum, step):
    """One move of a variable, in a replica."""
    averages, currents = keras.Variable(average), keras.Variable(current)
    steps = keras.Variable(step, dtype="int64", trainable=False)
    strategy = tf.distribute.OneDeviceStrategy("/CPU:0")
    strategy.run(lambda: move_average([averages], [currents], momentum, steps))
    np.testing.assert_array_equal(currents.numpy(), np.float32(current))
    return averages.numpy()


def test_a_late_step_keeps_the_given_share():
    result = moved([1.0, 0.0], [2.0, 10.0], 0.9, 100_000)
    np.testing.assert_allclose(result, [1.1, 1.0], rtol=1e-6)


@pytest.mark.parametrize("step", [0, 1, 10])
def test_an_early_step_keeps_less(step):
    kept = (1 + step) / (10 + step)
    assert kept < 0.998
    np.testing.assert_allclose(moved([1.0], [0.0], 0.998, step), [kept], rtol=1e-5)


def test_a_small_momentum_is_never_exceeded():
    np.testing.assert_allclose(moved([1.0], [0.0], 0.05, 0), [0.05], rtol=1e-5)


def test_unlike_numbers_of_variables_are_refused():
    step = keras.Variable(0, dtype="int64", trainable=False)
    strategy = tf.distribute.OneDeviceStrategy("/CPU:0")
    with pytest.raises(ValueError, match="zip"):
        strategy.run(lambda: move_average([keras.Variable(1.0)], [], 0.9, step))
