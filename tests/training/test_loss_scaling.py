"""Loss scaling under float16: which optimizers scale, and what an overflow does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.training.loss_scaling import agree_on_overflow, scaled_optimizer


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_only_float16_scales_its_losses(policy):
    optimizer = keras.optimizers.SGD()
    result = scaled_optimizer(optimizer, keras.DTypePolicy(policy))
    assert isinstance(result, keras.optimizers.LossScaleOptimizer) == (policy == "mixed_float16")
    assert getattr(result, "inner_optimizer", result) is optimizer
    assert scaled_optimizer(result, keras.DTypePolicy(policy)) is result


def agreed(gradients):
    strategy = tf.distribute.OneDeviceStrategy("/CPU:0")
    return strategy.run(lambda: agree_on_overflow(gradients))


def test_finite_gradients_stay_as_they_are():
    gradients = [[tf.constant([1.0, -2.0])], [tf.constant(3.0), tf.constant([[4.0]])]]
    for ours, theirs in zip(agreed(gradients), gradients, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [0, 1])
def test_an_overflow_in_one_network_is_one_in_all(value, place):
    gradients = [[tf.constant([1.0, -2.0])], [tf.constant(3.0), tf.constant([[4.0]])]]
    gradients[place][-1] *= value
    assert all(np.isinf(g).all() for own in agreed(gradients) for g in own)
