"""The generator alone, trained to reconstruct normal images: no anomalies, no discriminators."""

import logging

import keras
import numpy as np

from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.networks import Generator
from ganad_tf.preprocessing import to_network
from ganad_tf.settings.run_config import RunConfig

_LOGGER = logging.getLogger(__name__)


def autoencoder_errors(config: RunConfig, splits: Splits) -> tuple[np.ndarray, np.ndarray]:
    """Trains on as many normal images as the GAN sees, and measures reconstruction errors.

    Args:
        config: the run's settings.
        splits: the data.

    Returns:
        L1 reconstruction errors of the validation and of the test images, float32 [N] each.
    """
    train = splits.train
    size, channels = config.image_size or splits.image_shape[0], train.images.shape[-1]
    inputs = keras.Input((size, size, channels))
    generator = Generator(size, channels, config.width, config.refine)
    model = keras.Model(inputs, generator(inputs)[0])
    steps = int(config.epochs) * config.steps_per_epoch
    schedule = keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)
    model.compile(
        keras.optimizers.Adam(schedule, beta_1=config.beta_1), loss="mae", jit_compile=False
    )
    normal = to_network(train.images[~train.is_anomaly], size).numpy()
    half = config.batch_size // 2
    _LOGGER.info("autoencoder baseline: %d steps on %d normal images", steps, len(normal))
    passes = max(1, round(steps * half / len(normal)))
    model.fit(normal, normal, batch_size=half, epochs=passes, verbose=2)
    return _errors(model, splits.validation, size), _errors(model, splits.test, size)


def _errors(model: keras.Model, part: LabelledImages, size: int) -> np.ndarray:
    images = to_network(part.images, size).numpy()
    return np.abs(model.predict(images, batch_size=256, verbose=0) - images).mean(axis=(1, 2, 3))
