"""The dual-discriminator GAN: which network is trained on what, and nothing else."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from ganad_tf.networks import Discriminator, Generator
from ganad_tf.preprocessing import to_network
from ganad_tf.settings.loss_weights import LossWeights
from ganad_tf.synthesis.training_images import TrainingImages
from ganad_tf.training.loss_scaling import agree_on_overflow, scaled_optimizer
from ganad_tf.training.moving_average import move_average
from ganad_tf.training.objectives import (
    DISCRIMINATOR_LOSSES,
    GENERATOR_LOSSES,
    Networks,
    loss_values,
    weighted_objectives,
)

# Between the seeds of two replicas. Larger than the seeds that are usually compared, so that no
# replica repeats the random numbers of another run. Changing it would change every result.
_REPLICA_STRIDE = 7919


@keras.saving.register_keras_serializable("ganad_tf")
class DualDiscriminatorGAN(keras.Model):
    """A generator trained against a normal and an anomaly discriminator (Kim et al. 2020).

    One training step makes one generator pass over normal and anomalous images together, one
    encoder pass over the normal reconstructions (latent loss), and one pass of each discriminator
    over its originals and their reconstructions together. That single discriminator pass serves
    both sides: the discriminator's own loss and the generator's adversarial loss are read from the
    same outputs, and all three networks take their step from the weights the batch was computed
    with.

    A second generator, `averaged_generator`, holds the moving average of the generator's weights
    and batch statistics. It is the one that scores images and is exported.

    Args:
        image_size, channels, width, refine: see `Generator`.
        discriminator_width: see `Discriminator`.
        average_momentum: share of the old average kept in each step, in [0, 1). Early steps keep
            less, so that the average does not remember the initial weights.
        abc_scale: factor on the error inside the ABC loss.
        training_images: makes the images of a training step from a raw batch.
        seed: of the training images.

    There are more than seven arguments because Keras rebuilds the model from its config.

    Data for `fit`: what `TrainingImages` takes.

    Source: Kim et al. 2020, section 3.
    """

    def __init__(
        self,
        image_size: int = 32,
        channels: int = 1,
        width: int = 64,
        discriminator_width: int = 64,
        refine: bool = False,
        average_momentum: float = 0.998,
        abc_scale: float = 1.0,
        training_images: TrainingImages | None = None,
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not 0 <= average_momentum < 1:
            raise ValueError(
                "Argument `average_momentum` must be in [0, 1). "
                f"Received: average_momentum={average_momentum}"
            )
        self.average_momentum, self.abc_scale = average_momentum, abc_scale
        self.training_images = training_images or TrainingImages()
        self.seed = seed
        self.weights_of_losses = LossWeights()
        policy = self.dtype_policy
        shape = {"image_size": image_size, "channels": channels}
        generator = {**shape, "width": width, "refine": refine, "dtype": policy}
        discriminator = {**shape, "width": discriminator_width, "dtype": policy}
        self.generator = Generator(**generator, name="generator")
        self.averaged_generator = Generator(**generator, name="averaged_generator")
        self.averaged_generator.trainable = False
        self.normal_discriminator = Discriminator(**discriminator, name="normal_discriminator")
        self.anomaly_discriminator = Discriminator(**discriminator, name="anomaly_discriminator")
        self.trackers = {
            name: keras.metrics.Mean(name=name)
            for name in ("generator", *GENERATOR_LOSSES, *DISCRIMINATOR_LOSSES)
        }
        # Counts every step, also those that loss scaling skips and optimizers do not count.
        self.step = self.add_weight(
            name="step",
            shape=(),
            dtype="int64",
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
        )
        self.build()

    def build(self, input_shape: tuple[Any, ...] | None = None) -> None:
        for network in (
            self.generator,
            self.averaged_generator,
            self.normal_discriminator,
            self.anomaly_discriminator,
        ):
            network.build()
        self.averaged_generator.set_weights(self.generator.get_weights())
        self.built = True

    def call(
        self, images: tf.Tensor, training: bool | None = None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The averaged generator's `(reconstruction, features, logit)`, as used for scoring."""
        return self.averaged_generator(images, training=False)

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        normal_optimizer: keras.optimizers.Optimizer,
        anomaly_optimizer: keras.optimizers.Optimizer,
        loss_weights: LossWeights | dict | None = None,
        jit_compile: bool = False,
        **kwargs: Any,
    ) -> None:
        """Takes one optimizer for each network.

        Args:
            generator_optimizer: becomes `self.optimizer`, the one that callbacks look at.
            normal_optimizer, anomaly_optimizer: of the two discriminators.
            loss_weights: weights of the losses; a mapping or `LossWeights`.
            jit_compile: XLA; slower than oneDNN on CPU, so off unless asked for.
            **kwargs: passed to `keras.Model.compile`.
        """
        super().compile(optimizer=generator_optimizer, jit_compile=jit_compile, **kwargs)
        if isinstance(loss_weights, dict):
            loss_weights = LossWeights(**loss_weights)
        self.weights_of_losses = loss_weights or LossWeights()
        self.normal_optimizer = scaled_optimizer(normal_optimizer, self.dtype_policy)
        self.anomaly_optimizer = scaled_optimizer(anomaly_optimizer, self.dtype_policy)
        # Built here, or a restored checkpoint silently drops the state of unbuilt optimizers.
        for network, optimizer in self._trained():
            optimizer.build(network.trainable_variables)

    def _trained(self) -> tuple[tuple[keras.Model, keras.optimizers.Optimizer], ...]:
        return (
            (self.generator, self.optimizer),
            (self.normal_discriminator, self.normal_optimizer),
            (self.anomaly_discriminator, self.anomaly_optimizer),
        )

    def train_step(self, data: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        images, masks = self.training_images(data, self._step_seed())
        n_normal = tf.shape(data["normal"])[0]
        with tf.GradientTape(persistent=True) as tape:
            values = self._loss_values(images, n_normal, masks)
            objectives = self._objectives(values)
            scaled = [
                optimizer.scale_loss(objective)
                for (_, optimizer), objective in zip(self._trained(), objectives, strict=True)
            ]
        gradients = [
            tape.gradient(loss, network.trainable_variables)
            for (network, _), loss in zip(self._trained(), scaled, strict=True)
        ]
        del tape
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            gradients = agree_on_overflow(gradients)
        for (network, optimizer), own in zip(self._trained(), gradients, strict=True):
            optimizer.apply_gradients(zip(own, network.trainable_variables, strict=True))
        self.step.assign_add(1)
        move_average(
            self.averaged_generator.weights,
            self.generator.weights,
            self.average_momentum,
            self.step,
        )
        return self._track(values, objectives[0])

    def _step_seed(self) -> tf.Tensor:
        """A seed for each step and replica; a repeated step has the same."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        first = tf.cast(self.seed, tf.int32) + _REPLICA_STRIDE * tf.cast(replica, tf.int32)
        return tf.stack([first, tf.cast(self.step.value, tf.int32)])

    def _loss_values(
        self, pixels: tf.Tensor, n_normal: tf.Tensor, masks: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        networks = Networks(self.generator, self.normal_discriminator, self.anomaly_discriminator)
        size = self.generator.image_size
        learns_places = masks is not None and self.weights_of_losses.local_abc
        places = _network_masks(masks, size) if learns_places else None
        return loss_values(networks, to_network(pixels, size), n_normal, places, self.abc_scale)

    def _objectives(self, values: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        return weighted_objectives(values, self.weights_of_losses)

    def _track(
        self, values: dict[str, tf.Tensor], generator_objective: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self.trackers["generator"].update_state(generator_objective * replicas)
        for name, value in values.items():
            self.trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "image_size": self.generator.image_size,
            "channels": self.generator.channels,
            "width": self.generator.width,
            "discriminator_width": self.normal_discriminator.width,
            "refine": self.generator.refine,
            "average_momentum": self.average_momentum,
            "abc_scale": self.abc_scale,
            "training_images": self.training_images.to_dict(),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "DualDiscriminatorGAN":
        """The inverse of `get_config`; reads what earlier versions wrote, too."""
        config = dict(config)
        stored = config.pop("training_images", None) or {
            name: config.pop(name)
            for name in ("augmentation", "synthetic_share", "synthetic_kinds")
            if name in config
        }
        return cls(**config, training_images=TrainingImages.from_dict(stored))

    def get_compile_config(self) -> dict[str, Any]:
        optimizers = {
            "generator_optimizer": self.optimizer,
            "normal_optimizer": self.normal_optimizer,
            "anomaly_optimizer": self.anomaly_optimizer,
        }
        return {
            **{name: keras.saving.serialize_keras_object(o) for name, o in optimizers.items()},
            "loss_weights": dataclasses.asdict(self.weights_of_losses),
            "jit_compile": self.jit_compile,
        }

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        config = dict(config)
        for name in ("generator_optimizer", "normal_optimizer", "anomaly_optimizer"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        self.compile(**config)


def _network_masks(masks: tf.Tensor, image_size: int) -> tf.Tensor:
    """Masks uint8 [M, h, w, 1] at the network's size, float32 [M, S, S], 0 to 1.

    Padding is not anomalous, except around an image that is anomalous as a whole.
    """
    is_local = tf.reduce_any(masks == 0, axis=[1, 2, 3])
    padded = (to_network(masks, image_size)[..., 0] + 1) / 2
    return tf.where(is_local[:, None, None], padded, 1.0)
