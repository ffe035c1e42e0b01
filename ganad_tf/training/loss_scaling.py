"""Loss scaling for float16: one decision about overflow for all networks and replicas."""

import keras
import tensorflow as tf


def scaled_optimizer(
    optimizer: keras.optimizers.Optimizer, policy: keras.DTypePolicy
) -> keras.optimizers.Optimizer:
    """Wraps an optimizer for float16's narrow range, if the policy is `mixed_float16`.

    keras.Model.compile does this for the one optimizer that it knows.
    """
    if policy.name != "mixed_float16" or isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)


def agree_on_overflow(gradients: list[list[tf.Tensor]]) -> list[list[tf.Tensor]]:
    """Makes all networks and replicas skip a step if any gradient overflows.

    keras.optimizers.LossScaleOptimizer checks for overflow before gradients are summed over
    replicas, and only on the first replica. An overflow on another one would reach the weights.

    Args:
        gradients: for each network, the gradients of its weights.

    Returns:
        The same gradients, or infinite ones in all places if any value on any replica is not
        finite. In a replica context only.
    """
    finite = [tf.reduce_all(tf.math.is_finite(g)) for own in gradients for g in own]
    overflow = tf.cast(tf.logical_not(tf.reduce_all(tf.stack(finite))), tf.float32)
    context = tf.distribute.get_replica_context()
    overflow = context.all_reduce(tf.distribute.ReduceOp.SUM, overflow) > 0
    return [
        [tf.where(overflow, tf.cast(float("inf"), g.dtype), g) for g in own] for own in gradients
    ]
