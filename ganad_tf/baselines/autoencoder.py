"""The generator alone, trained to reconstruct normal images: no anomalies, no discriminators."""

import logging

import keras
import numpy as np
import tensorflow as tf

from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.networks import Generator
from ganad_tf.preprocessing import to_network
from ganad_tf.scoring.map_batches import map_batches
from ganad_tf.settings.run_config import RunConfig

# Images that are read and scored at a time.
BATCH = 256

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
    generator.head.trainable = False  # it has no part in the reconstruction
    steps = int(config.epochs) * config.steps_per_epoch
    schedule = keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)
    model.compile(
        keras.optimizers.Adam(schedule, beta_1=config.beta_1), loss="mae", jit_compile=False
    )
    # Only at the network's size do all of them fit into memory.
    normal = _inputs(train, np.flatnonzero(~train.is_anomaly), size)
    half = config.batch_size // 2
    _LOGGER.info("autoencoder baseline: %d steps on %d normal images", steps, len(normal))
    passes = max(1, round(steps * half / len(normal)))
    log = model.fit(normal, normal, batch_size=half, epochs=passes, verbose=0)
    _LOGGER.info("autoencoder baseline: error %.4f at the end", log.history["loss"][-1])
    return _errors(model, splits.validation, size), _errors(model, splits.test, size)


def _errors(model: keras.Model, part: LabelledImages, size: int) -> np.ndarray:
    errors = []
    for start in range(0, len(part), BATCH):
        images = _inputs(part, np.arange(start, min(start + BATCH, len(part))), size)
        reconstructions = model.predict(images, batch_size=BATCH, verbose=0)
        errors.append(np.abs(reconstructions - images).mean(axis=(1, 2, 3)))
    return np.concatenate(errors)


def _inputs(part: LabelledImages, indices: np.ndarray, size: int) -> np.ndarray:
    """What the network gets for some images, float32 [n, S, S, C]; read a batch at a time."""

    def prepare(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"inputs": to_network(images, size)}

    return map_batches(prepare, part.images, indices, BATCH)["inputs"]
