"""A quick anomaly score, by which the epochs of a training are compared."""

import numpy as np
import tensorflow as tf

from ganad_tf import losses
from ganad_tf.preprocessing import to_network
from ganad_tf.training.model import DualDiscriminatorGAN


class ValidationScore:
    """Scores images with the averaged generator, without the fitted scorer of a detector.

    The score is the head's error where the head is trained, else L1(x, G(x)).

    Args:
        model: compiled; its present weights are used in each call.
    """

    def __init__(self, model: DualDiscriminatorGAN):
        self._model = model

    def __call__(self, images: np.ndarray, batch_size: int = 256) -> np.ndarray:
        """Scores images.

        Args:
            images: uint8 [N, h, w, C].
            batch_size: images per pass.

        Returns:
            float32 [N], higher means more anomalous.
        """
        starts = range(0, len(images), batch_size)
        parts = [self._of_batch(images[i : i + batch_size]).numpy() for i in starts]
        return np.concatenate(parts)

    @tf.function(reduce_retracing=True, autograph=False)
    def _of_batch(self, pixels: np.ndarray) -> tf.Tensor:
        images = to_network(pixels, self._model.generator.image_size)
        reconstructions, _, logits = self._model(images)
        if self._model.weights_of_losses.feature_abc:
            return losses.classifier_error(logits)
        return losses.mean_error(losses.pixel_errors(images, reconstructions))
