"""Makes a detector of a trained generator: fits distance, scorer and threshold."""

import numpy as np
import tensorflow as tf

from ganad_tf.data.images import LabelledImages
from ganad_tf.networks import Generator
from ganad_tf.scoring.detector import Detector, Measurement, measure
from ganad_tf.scoring.features import FeatureDistance
from ganad_tf.scoring.scorer import fit_scorer

MAP_QUANTILE = 0.999
# Normal training images that the feature distance is fitted on, at most.
MOST_NORMALS = 10_000
BATCH = 256


def fit_detector(
    generator: Generator,
    train: LabelledImages,
    validation: LabelledImages,
    score: str = "auto",
    max_false_alarms: float | None = None,
    seed: int = 0,
    all_kinds_known: bool = True,
) -> Detector:
    """Fits the feature distance on normal training images, everything else on validation.

    Args:
        generator: the trained (averaged) generator, float32.
        train: its training images.
        validation: images it was not trained on.
        score: `auto`, `reconstruction`, `features` or `joint`.
        max_false_alarms: see `fit_scorer`.
        seed: of the k-means and the draw of training images.
        all_kinds_known: see `fit_scorer`.

    Raises:
        DataError: if a split has no normal images.
        UsageError: if the false-alarm rate cannot be promised with so few images.
    """
    normals = np.flatnonzero(~train.is_anomaly)
    if len(normals) > MOST_NORMALS:
        normals = np.random.default_rng(seed).choice(normals, MOST_NORMALS, replace=False)
    features = _measure_all(generator, train.images, np.sort(normals), None, ["features"])
    distance = FeatureDistance.fit(features["features"], seed)
    everything = np.arange(len(validation))
    kept = _measure_all(generator, validation.images, everything, distance, ["values"])
    some_normals = np.flatnonzero(~validation.is_anomaly)[:1000]
    errors = _measure_all(generator, validation.images, some_normals, None, ["errors"])["errors"]
    scorer = fit_scorer(
        kept,
        validation.is_anomaly,
        float(np.quantile(errors, MAP_QUANTILE)),
        score,
        max_false_alarms,
        all_kinds_known,
    )
    return Detector(generator, distance, scorer, validation.images.shape[1:])


def _measure_all(generator, images, indices, distance, kept) -> dict[str, np.ndarray]:
    """Runs `measure` over chosen images and keeps chosen parts of it."""

    @tf.function(input_signature=[tf.TensorSpec((None, *images.shape[1:]), tf.uint8)])
    def run(batch):
        measured: Measurement = measure(generator, batch, distance)
        results = {name: getattr(measured, name) for name in kept}
        return {**results.pop("values", {}), **results}

    parts = [
        {name: value.numpy() for name, value in run(images[indices[i : i + BATCH]]).items()}
        for i in range(0, len(indices), BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
