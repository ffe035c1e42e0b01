"""Builds the model of a run, and the generator that scores."""

import keras

from ganad_tf.networks import Generator
from ganad_tf.plan import Plan
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.synthesis.augmentation import Augmentation
from ganad_tf.synthesis.training_images import TrainingImages
from ganad_tf.training.model import DualDiscriminatorGAN

# Of the learning rate, from a hundredth to its full value; at most a tenth of the training.
WARM_UP_STEPS = 100


def build_model(
    config: RunConfig, plan: Plan, channels: int, precision: str = "float32"
) -> DualDiscriminatorGAN:
    """Builds and compiles the model of a run.

    Args:
        config: the run's settings.
        plan: of the run.
        channels: 1 or 3.
        precision: Keras dtype policy of the networks.

    Returns:
        A compiled `DualDiscriminatorGAN`, its optimizers built.
    """
    keras.utils.set_random_seed(config.seed)
    model = DualDiscriminatorGAN(
        image_size=plan.generator_size,
        channels=channels,
        width=config.width,
        discriminator_width=config.discriminator_width,
        refine=config.refine,
        average_momentum=config.average_momentum,
        abc_scale=config.abc_scale,
        training_images=TrainingImages(
            Augmentation(config.flip, config.shift, config.random_rotation),
            plan.synthetic_share,
            plan.synthetic_kinds,
            plan.generator_size,
        ),
        seed=config.seed,
        dtype=precision,
    )
    steps = plan.epochs * config.steps_per_epoch

    def adam(learning_rate: float) -> keras.optimizers.Optimizer:
        # Warm-up: Adam's first steps are large, and a GAN does not recover from them.
        warm_up = min(WARM_UP_STEPS, steps // 10)
        schedule = keras.optimizers.schedules.CosineDecay(
            learning_rate / WARM_UP_STEPS,
            max(1, steps - warm_up),
            warmup_target=learning_rate,
            warmup_steps=warm_up,
        )
        return keras.optimizers.Adam(schedule, beta_1=config.beta_1)

    model.compile(
        generator_optimizer=adam(config.learning_rate),
        normal_optimizer=adam(config.discriminator_learning_rate),
        anomaly_optimizer=adam(config.discriminator_learning_rate),
        loss_weights=config.loss_weights,
    )
    return model


def scoring_generator(model: DualDiscriminatorGAN) -> Generator:
    """The averaged generator as a float32 network, whatever precision it was trained in."""
    config = {**model.averaged_generator.get_config(), "dtype": "float32", "name": "generator"}
    generator = Generator.from_config(config)
    generator.build()
    generator.set_weights(model.averaged_generator.get_weights())
    generator.trainable = False
    return generator
