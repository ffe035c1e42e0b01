"""The dual-discriminator GAN: who is trained on what, and nothing else."""

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from ganad_tf import losses
from ganad_tf.losses import Patches
from ganad_tf.networks import Discriminator, Generator
from ganad_tf.preprocessing import to_network
from ganad_tf.settings.loss_weights import LossWeights
from ganad_tf.synthesis.augmentation import Augmentation
from ganad_tf.synthesis.transplants import transplant
from ganad_tf.synthesis.whole_image import synthesise
from ganad_tf.training.loss_scaling import agree_on_overflow

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


@keras.saving.register_keras_serializable("ganad_tf")
class DualDiscriminatorGAN(keras.Model):
    """A generator pushed by a normal and an anomaly discriminator (Kim et al. 2020).

    One training step makes one generator pass over normal and anomalous images together, one
    encoder pass over the normal reconstructions (latent loss), and one pass of each discriminator
    over its originals and their reconstructions together. That single discriminator pass serves
    both sides: the discriminator's own loss and the generator's adversarial loss are read from the
    same outputs, and all three networks take their step from the weights the batch was computed
    with.

    A second generator, `averaged_generator`, holds the moving average of the generator's weights
    and batch statistics. It is the one that is evaluated and exported.

    Args:
        image_size, channels, width, refine: see `Generator`.
        discriminator_width: see `Discriminator`.
        average_momentum: share of the old average kept in each step, below 1. Early steps keep
            less, so that the average does not remember the initial weights.
        abc_scale: factor on the error inside the ABC loss.
        augmentation: random flips, shifts and turns of training images.
        synthetic_share: share of the anomalous half of a batch that is replaced by synthetic
            anomalies, made of normal images. With 1, `data["anomaly"]` must hold normal images.
        synthetic_kinds: what those are made by, see `ganad_tf.synthesis.whole_image.synthesise`.
        seed: of the augmentation.

    Data for `fit` and `evaluate`: `{"normal": uint8 [N, h, w, C], "anomaly": uint8 [M, h, w, C]}`,
    for `fit` also, if it is known, `"where"`: uint8 [M, h, w, 1], 255 where an anomaly is anomalous
    and 0 elsewhere; N = M then, and the defects are learnt inside the normal images, too.
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
        augmentation: Augmentation | dict | None = None,
        synthetic_share: float = 0.0,
        synthetic_kinds: Sequence[str] = ("turn", "shuffle", "paste"),
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not 0 <= average_momentum < 1:
            raise ValueError(
                "Argument `average_momentum` must be in [0, 1). "
                f"Received: average_momentum={average_momentum}"
            )
        if not 0 <= synthetic_share <= 1:
            raise ValueError(
                "Argument `synthetic_share` must be in [0, 1]. "
                f"Received: synthetic_share={synthetic_share}"
            )
        self.synthetic_share, self.synthetic_kinds = synthetic_share, tuple(synthetic_kinds)
        if isinstance(augmentation, dict):
            augmentation = Augmentation(**augmentation)
        self.augmentation = augmentation or Augmentation()
        self.average_momentum, self.abc_scale, self.seed = average_momentum, abc_scale, seed
        self.patches = Patches.for_image_size(image_size)
        shape = {"image_size": image_size, "channels": channels}
        policy = self.dtype_policy
        generator = {**shape, "width": width, "refine": refine, "dtype": policy}
        discriminator = {**shape, "width": discriminator_width, "dtype": policy}
        self.generator = Generator(**generator, name="generator")
        self.averaged_generator = Generator(**generator, name="averaged_generator")
        self.averaged_generator.trainable = False
        self.normal_discriminator = Discriminator(**discriminator, name="normal_discriminator")
        self.anomaly_discriminator = Discriminator(**discriminator, name="anomaly_discriminator")
        self.trackers = {
            name: keras.metrics.Mean(name=name)
            for name in (
                "generator",
                *GENERATOR_LOSSES,
                *DISCRIMINATOR_LOSSES,
            )
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

    def build(self, input_shape=None):
        for network in (
            self.generator,
            self.averaged_generator,
            self.normal_discriminator,
            self.anomaly_discriminator,
        ):
            network.build()
        self.averaged_generator.set_weights(self.generator.get_weights())
        self.built = True

    def call(self, images, training=None):
        """The averaged generator's `(reconstruction, features, logit)`: what scoring uses."""
        return self.averaged_generator(images, training=False)

    def validation_scores(self, images: np.ndarray, batch_size: int = 256) -> np.ndarray:
        """A quick anomaly score to watch training by, from the averaged generator.

        Args:
            images: uint8 [N, h, w, C].
            batch_size: images per pass.

        Returns:
            float32 [N]: the head's error where the head is trained, else L1(x, G(x)).
        """
        starts = range(0, len(images), batch_size)
        parts = [self._validation_scores(images[i : i + batch_size]).numpy() for i in starts]
        return np.concatenate(parts)

    @tf.function(reduce_retracing=True)
    def _validation_scores(self, pixels):
        images = to_network(pixels, self.generator.image_size)
        reconstructions, _, logits = self(images)
        if self.weights_of_losses.feature_abc:
            return losses.classifier_error(logits)
        return losses.mean_error(losses.pixel_errors(images, reconstructions))

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        normal_optimizer: keras.optimizers.Optimizer,
        anomaly_optimizer: keras.optimizers.Optimizer,
        loss_weights: LossWeights | dict | None = None,
        jit_compile: bool = False,
        **kwargs,
    ):
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
        self.normal_optimizer = self._scaled(normal_optimizer)
        self.anomaly_optimizer = self._scaled(anomaly_optimizer)
        # Built here, or a restored checkpoint silently drops the state of unbuilt optimizers.
        for network, optimizer in self._trained():
            optimizer.build(network.trainable_variables)

    def _scaled(self, optimizer):
        # keras.Model.compile wraps only its own optimizer for float16's narrow range.
        if self.dtype_policy.name == "mixed_float16" and not isinstance(
            optimizer, keras.optimizers.LossScaleOptimizer
        ):
            return keras.optimizers.LossScaleOptimizer(optimizer)
        return optimizer

    def _trained(self):
        return (
            (self.generator, self.optimizer),
            (self.normal_discriminator, self.normal_optimizer),
            (self.anomaly_discriminator, self.anomaly_optimizer),
        )

    def train_step(self, data):
        batch = [data["normal"], data["anomaly"]]
        seed = self._step_seed()
        batch[1], where = self._anomalies(*batch, data.get("where"), seed)
        images, where = self._augmented(batch, where, seed)
        with tf.GradientTape(persistent=True) as tape:
            values = self._loss_values(
                self.generator, images, tf.shape(batch[0])[0], training=True, where=where
            )
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
        self._update_average()
        return self._track(values, objectives[0])

    def _anomalies(self, normal, anomaly, where, seed) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The anomalous half with its transplants and its share of synthetic anomalies, and where
        they are anomalous; None if that would be everywhere.

        Where a labelled anomaly without a mask is so is not known: everywhere, as far as we know.
        """
        blots = self.synthetic_share and "blot" in self.synthetic_kinds
        places_matter = where is not None or blots
        if where is None:
            where = tf.fill(tf.concat([tf.shape(anomaly)[:3], [1]], 0), tf.constant(255, tf.uint8))
        else:
            anomaly, where = transplant(normal, anomaly, where, tf.random.fold_in(seed, 2))
        seed = tf.random.fold_in(seed, 1)
        if self.synthetic_share == 1:
            anomaly, where = synthesise(anomaly, seed, self.synthetic_kinds)
        elif self.synthetic_share:
            made, place = synthesise(normal, seed, self.synthetic_kinds)
            lot = tf.random.stateless_uniform([tf.shape(anomaly)[0], 1, 1, 1], seed)
            chosen = lot < self.synthetic_share
            anomaly, where = tf.where(chosen, made, anomaly), tf.where(chosen, place, where)
        return anomaly, where if places_matter else None

    def _augmented(self, batch, where, seed) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Both halves together, augmented; `where`, if places matter, along with its images."""
        images = tf.concat(batch, axis=0)
        if where is None:
            return self.augmentation(images, seed), None
        nowhere = tf.zeros_like(batch[0][..., :1])
        images = tf.concat([images, tf.concat([nowhere, where], axis=0)], axis=-1)
        images = self.augmentation(images, seed)
        return images[..., :-1], images[tf.shape(batch[0])[0] :, ..., -1:]

    def _step_seed(self) -> tf.Tensor:
        """A seed of its own for each step and replica, the same whenever the step is replayed."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        first = tf.cast(self.seed, tf.int32) + 7919 * tf.cast(replica, tf.int32)
        return tf.stack([first, tf.cast(self.step.value, tf.int32)])

    def test_step(self, data):
        """Every loss on the given images, with the averaged generator in inference mode."""
        images = tf.concat([data["normal"], data["anomaly"]], axis=0)
        values = self._loss_values(
            self.averaged_generator, images, tf.shape(data["normal"])[0], training=False
        )
        return self._track(values, self._objectives(values)[0])

    def _loss_values(
        self, generator, pixels, normals, training, where=None
    ) -> dict[str, tf.Tensor]:
        """All losses, one value per image, from one pass of each network.

        Args:
            generator: the trained or the averaged generator.
            pixels: uint8 [N + M, h, w, C], the normal images first.
            normals: N.
            training: whether batch normalisation uses the batch.
            where: uint8 [M, h, w, 1], not 0 where an anomaly is anomalous, if that is known.
        """
        images = to_network(pixels, self.generator.image_size)
        reconstructions, features, logits = generator(images, training=training)
        errors = losses.pixel_errors(images, reconstructions)
        x_n, x_a = images[:normals], images[normals:]
        g_n, g_a = reconstructions[:normals], reconstructions[normals:]
        # Inference mode: the reconstructions' statistics must not enter the moving averages that
        # stand for original images.
        features_again = generator.encode(g_n, training=False)
        real_n, fake_n = self._judge(self.normal_discriminator, x_n, g_n)
        real_a, fake_a = self._judge(self.anomaly_discriminator, x_a, g_a)
        return {
            "normal_reconstruction": losses.normal_reconstruction_loss(errors[:normals]),
            "patch": losses.patch_loss(errors[:normals], self.patches),
            "latent": losses.latent_loss(features[:normals], features_again),
            "normal_adversarial": losses.normal_adversarial_loss(fake_n),
            **self._abc_losses(errors[normals:], where),
            "anomaly_adversarial": losses.anomaly_adversarial_loss(fake_a),
            # Concatenated, so that each image counts alike, as in the mean over a global batch.
            "feature_abc": tf.concat(
                [
                    losses.feature_abc_loss(logits[:normals], is_anomaly=False),
                    losses.feature_abc_loss(logits[normals:], is_anomaly=True),
                ],
                axis=0,
            ),
            "normal_discriminator": losses.normal_discriminator_loss(real_n, fake_n),
            "anomaly_discriminator": losses.anomaly_discriminator_loss(real_a, fake_a),
        }

    def _abc_losses(self, errors, where) -> dict[str, tf.Tensor]:
        """Loss 5 for anomalies that are wrong as a whole, its local form for the others."""
        whole = losses.abc_loss(errors, self.abc_scale)
        if where is None or not self.weights_of_losses.local_abc:
            return {"abc": whole, "local_abc": tf.zeros_like(whole)}
        has_place = tf.reduce_any(where == 0, axis=[1, 2, 3])
        places = (to_network(where, self.generator.image_size)[..., 0] + 1) / 2
        local = losses.local_abc_loss(errors, places)
        return {
            "abc": tf.where(has_place, 0.0, whole),
            "local_abc": tf.where(has_place, local, 0.0),
        }

    @staticmethod
    def _judge(discriminator, originals, reconstructions):
        """One pass over both, returned as (judgement of originals, of reconstructions)."""
        image, patches = discriminator(tf.concat([originals, reconstructions], axis=0))
        count = tf.shape(originals)[0]
        return (image[:count], patches[:count]), (image[count:], patches[count:])

    def _objectives(self, values) -> list[tf.Tensor]:
        """The weighted scalars that G, D_N and D_A descend, reduced by the GLOBAL batch.

        Gradients are summed over replicas, so each replica contributes its share of the mean.
        """
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        weights = dataclasses.asdict(self.weights_of_losses)

        def objective(names):
            return sum(weights[name] * tf.reduce_mean(values[name]) for name in names) / replicas

        return [objective(GENERATOR_LOSSES), *(objective([name]) for name in DISCRIMINATOR_LOSSES)]

    def _track(self, values, generator_objective) -> dict[str, tf.Tensor]:
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self.trackers["generator"].update_state(generator_objective * replicas)
        for name, value in values.items():
            self.trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def _update_average(self):
        step = tf.cast(self.step.value, tf.float32)
        momentum = tf.minimum(self.average_momentum, (1 + step) / (10 + step))
        averages = [weight.value for weight in self.averaged_generator.weights]
        currents = [weight.value for weight in self.generator.weights]

        def move(average, current, momentum):
            average.assign_add((1 - momentum) * (current - average))

        def update(strategy, averages, currents, momentum):
            for average, current in zip(averages, currents, strict=True):
                strategy.extended.update(average, move, args=(current, momentum), group=False)

        # A merge call, because weights created by layers may not be assigned inside a replica.
        tf.distribute.get_replica_context().merge_call(update, args=(averages, currents, momentum))

    def get_config(self):
        return {
            **super().get_config(),
            "image_size": self.generator.image_size,
            "channels": self.generator.channels,
            "width": self.generator.width,
            "discriminator_width": self.normal_discriminator.width,
            "refine": self.generator.refine,
            "average_momentum": self.average_momentum,
            "abc_scale": self.abc_scale,
            "augmentation": dataclasses.asdict(self.augmentation),
            "synthetic_share": self.synthetic_share,
            "synthetic_kinds": list(self.synthetic_kinds),
            "seed": self.seed,
        }

    def get_compile_config(self):
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

    def compile_from_config(self, config):
        config = dict(config)
        for name in ("generator_optimizer", "normal_optimizer", "anomaly_optimizer"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        self.compile(**config)
