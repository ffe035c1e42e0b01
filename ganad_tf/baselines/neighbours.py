"""Plain nearest neighbours on pixels and on frozen features, beside every run on own images.

They learn from normal images only. A model that finds fewer anomalies is not worth its training.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from sklearn.preprocessing import StandardScaler

from ganad_tf.baselines.classical import nearest_neighbours
from ganad_tf.data.images import LabelledImages, drawn
from ganad_tf.data.splits import Splits
from ganad_tf.scoring.encoder_features import EncoderFeatures, mean_features
from ganad_tf.scoring.map_batches import map_batches

# More normal images would take minutes and hardly change the AUROC.
MAX_NORMALS = 2000
# Pixels are compared on images of this size, or their own if they are smaller.
PIXEL_SIZE = 64
# Of the encoder's maps, the strides 8 to 32.
LEVELS = (1, 2, 3, 4)
BATCH = 32
# So many images are held as floats at a time: of 64 pixels in colour 200 MB.
CHUNK = 4096

Features = Callable[[LabelledImages, np.ndarray], np.ndarray]


def neighbours_on_pixels(splits: Splits, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean distance to the 3 nearest normal images, at most 64x64 pixels large.

    Args:
        splits: the data.
        seed: of the draw of normal images, where there are more than `MAX_NORMALS`.

    Returns:
        Scores of the validation and of the test images, float [N] each.
    """
    size = min(PIXEL_SIZE, splits.image_shape[0])

    def rows(part: LabelledImages, indices: np.ndarray) -> np.ndarray:
        def small(images: tf.Tensor) -> dict[str, tf.Tensor]:
            x = tf.image.resize(tf.cast(images, tf.float32) / 255, (size, size), antialias=True)
            return {"rows": tf.reshape(x, [-1, size * size * images.shape[-1]])}

        return map_batches(small, part.images, indices, BATCH)["rows"]

    return _scores(splits, rows, seed)


def neighbours_on_features(
    splits: Splits, encoder: EncoderFeatures, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same on the mean of each feature, in units of its deviation over normal images.

    Args:
        splits: the data.
        encoder: frozen.
        seed: of the draw of normal images, where there are more than `MAX_NORMALS`.

    Returns:
        Scores of the validation and of the test images, float [N] each.
    """

    def rows(part: LabelledImages, indices: np.ndarray) -> np.ndarray:
        def means(images: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"rows": mean_features(encoder.maps(images), LEVELS)}

        return map_batches(means, part.images, indices, BATCH)["rows"]

    return _scores(splits, rows, seed, scaled=True)


def _scores(
    splits: Splits, features: Features, seed: int, scaled: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of validation and test images to normal training images."""
    normals = drawn(np.flatnonzero(~splits.train.is_anomaly), MAX_NORMALS, seed)
    known = features(splits.train, normals)
    scaler = StandardScaler(with_mean=scaled, with_std=scaled).fit(known)
    known = scaler.transform(known)

    def distances(part: LabelledImages) -> np.ndarray:
        some = np.array_split(np.arange(len(part)), -(-len(part) // CHUNK))
        rows = (scaler.transform(features(part, indices)) for indices in some)
        return np.concatenate([nearest_neighbours(known, chunk, seed) for chunk in rows])

    return distances(splits.validation), distances(splits.test)
