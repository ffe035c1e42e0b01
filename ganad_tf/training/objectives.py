"""Every loss of a batch from one pass of each network, and the objective of each network."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from ganad_tf import losses
from ganad_tf.losses import Patches
from ganad_tf.networks import Discriminator, Generator
from ganad_tf.settings.loss_weights import LossWeights

GENERATOR_LOSSES = (
    "normal_reconstruction",
    "patch",
    "latent",
    "normal_adversarial",
    "abc",
    "anomaly_adversarial",
    "feature_abc",
    "local_abc",
)
DISCRIMINATOR_LOSSES = ("normal_discriminator", "anomaly_discriminator")


class Networks(NamedTuple):
    """The networks that take part in a step."""

    generator: Generator
    normal_discriminator: Discriminator
    anomaly_discriminator: Discriminator


def loss_values(
    networks: Networks,
    images: tf.Tensor,
    n_normal: tf.Tensor,
    masks: tf.Tensor | None,
    abc_scale: float,
) -> dict[str, tf.Tensor]:
    """All losses of a training step, one value per image.

    Args:
        networks: their batch normalisation uses the batch.
        images: float32 [N + M, S, S, C] in [-1, 1], the N normal ones first.
        n_normal: N.
        masks: float32 [M, S, S], 1 where an anomaly is anomalous, else 0; None if all are
            anomalous as a whole.
        abc_scale: factor on the error inside the ABC loss.

    Returns:
        For each name of `GENERATOR_LOSSES` and `DISCRIMINATOR_LOSSES`, float32 [N], [M] or
        [N + M]; see `ganad_tf.losses` for formulas and sources.
    """
    generator = networks.generator
    reconstructions, features, logits = generator(images, training=True)
    errors = losses.pixel_errors(images, reconstructions)
    x_n, x_a = images[:n_normal], images[n_normal:]
    g_n, g_a = reconstructions[:n_normal], reconstructions[n_normal:]
    # Inference mode: the reconstructions' statistics must not enter the moving averages that
    # stand for original images.
    features_again = generator.encode(g_n, training=False)
    real_n, fake_n = _judge(networks.normal_discriminator, x_n, g_n)
    real_a, fake_a = _judge(networks.anomaly_discriminator, x_a, g_a)
    patches = Patches.for_image_size(generator.image_size)
    return {
        "normal_reconstruction": losses.normal_reconstruction_loss(errors[:n_normal]),
        "patch": losses.patch_loss(errors[:n_normal], patches),
        "latent": losses.latent_loss(features[:n_normal], features_again),
        "normal_adversarial": losses.normal_adversarial_loss(fake_n),
        **_abc_losses(errors[n_normal:], masks, abc_scale),
        "anomaly_adversarial": losses.anomaly_adversarial_loss(fake_a),
        # Concatenated, so that each image has the same weight in the mean over a global batch.
        "feature_abc": tf.concat(
            [
                losses.feature_abc_loss(logits[:n_normal], is_anomaly=False),
                losses.feature_abc_loss(logits[n_normal:], is_anomaly=True),
            ],
            axis=0,
        ),
        "normal_discriminator": losses.normal_discriminator_loss(real_n, fake_n),
        "anomaly_discriminator": losses.anomaly_discriminator_loss(real_a, fake_a),
    }


def weighted_objectives(
    values: Mapping[str, tf.Tensor], loss_weights: LossWeights
) -> list[tf.Tensor]:
    """The weighted scalars that G, D_N and D_A descend, reduced by the GLOBAL batch.

    Gradients are summed over replicas, so each replica contributes its share of the mean.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    weights = dataclasses.asdict(loss_weights)

    def objective(names: Sequence[str]) -> tf.Tensor:
        return sum(weights[name] * tf.reduce_mean(values[name]) for name in names) / replicas

    return [objective(GENERATOR_LOSSES), *(objective([name]) for name in DISCRIMINATOR_LOSSES)]


def _abc_losses(
    errors: tf.Tensor, masks: tf.Tensor | None, abc_scale: float
) -> dict[str, tf.Tensor]:
    """Loss 5 for anomalies that are anomalous as a whole, its local form for the others."""
    whole = losses.abc_loss(errors, abc_scale)
    if masks is None:
        return {"abc": whole, "local_abc": tf.zeros_like(whole)}
    is_local = tf.reduce_any(masks == 0, axis=[1, 2])
    local = losses.local_abc_loss(errors, masks)
    return {
        "abc": tf.where(is_local, 0.0, whole),
        "local_abc": tf.where(is_local, local, 0.0),
    }


def _judge(
    discriminator: Discriminator, originals: tf.Tensor, reconstructions: tf.Tensor
) -> tuple[tuple[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """One pass over both: the judgements (image, patches) of originals and of reconstructions."""
    image, patches = discriminator(tf.concat([originals, reconstructions], axis=0))
    count = tf.shape(originals)[0]
    return (image[:count], patches[:count]), (image[count:], patches[count:])
