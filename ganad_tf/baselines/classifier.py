"""A supervised classifier of normal against anomalous; its trunk is the generator's encoder."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from ganad_tf.data.batches import BalancedBatches
from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.networks.generator import DownStep
from ganad_tf.preprocessing import to_network
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.synthesis.augmentation import Augmentation


def classifier_scores(config: RunConfig, splits: Splits) -> tuple[np.ndarray, np.ndarray]:
    """Trains on the same balanced batches as the GAN, as many of them.

    Every halving is refined by a 3x3 convolution, which the classifier can afford: it has no
    decoder and no discriminators.

    Args:
        config: the run's settings.
        splits: the data; some anomalies must be labelled.

    Returns:
        Logits of "anomaly" for the validation and for the test images, float32 [N] each.
    """
    keras.utils.set_random_seed(config.seed)
    trunk = [
        DownStep(config.width * factor, normalise=factor > 1, refine=True)
        for factor in (1, 2, 4, 8)
    ]
    size = config.image_size or splits.image_shape[0]
    shape = (size, size, splits.train.images.shape[-1])
    model = keras.Sequential(
        [keras.Input(shape), *trunk, keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    steps = int(config.epochs) * config.steps_per_epoch
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    model.compile(
        keras.optimizers.Adam(schedule, use_ema=True, ema_momentum=config.average_momentum),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        jit_compile=False,
    )
    half = config.batch_size // 2
    labels = tf.concat([tf.zeros((half, 1)), tf.ones((half, 1))], axis=0)
    augmentation = Augmentation(config.flip, config.shift)
    labelled = dataclasses.replace(splits.train, masks=None)  # it learns from whole images
    batches = BalancedBatches(labelled, config.batch_size, steps, seed=config.seed)

    def prepare(step, batch):
        images = tf.concat([batch["normal"], batch["anomaly"]], axis=0)
        seed = tf.stack([tf.constant(config.seed, tf.int64), step])
        return to_network(augmentation(images, seed), size), labels

    model.fit(batches.dataset().enumerate().map(prepare), epochs=1, shuffle=False, verbose=0)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    return _logits(model, splits.validation, size), _logits(model, splits.test, size)


def _logits(model: keras.Model, part: LabelledImages, size: int) -> np.ndarray:
    images = to_network(part.images, size)
    return model.predict(images, batch_size=256, verbose=0)[:, 0]
