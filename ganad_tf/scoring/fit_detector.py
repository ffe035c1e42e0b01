"""Fits a detector: first what the encoder measures, after the training everything else."""

import logging

import numpy as np
import tensorflow as tf

from ganad_tf.calibration.promises import check_promise
from ganad_tf.data.image_statistics import fit_ranges
from ganad_tf.data.image_view import ImageView
from ganad_tf.data.images import LabelledImages, drawn
from ganad_tf.data.splits import Splits
from ganad_tf.errors import DataError
from ganad_tf.networks import EfficientNetLite0, Generator
from ganad_tf.plan import Plan, learnt_from
from ganad_tf.preprocessing import to_network
from ganad_tf.scoring.cross_fit import (
    Fold,
    cross_fitted,
    fold_values,
    images_that_count,
    with_cross_fit,
)
from ganad_tf.scoring.detector import Detector
from ganad_tf.scoring.encoder_features import EncoderFeatures
from ganad_tf.scoring.feature_distance import (
    LOCAL_LEVEL,
    PIXEL_SHRINKAGE,
    FeatureDistance,
    FeatureDistances,
    averaged_pixels,
    grid_features,
    place_features,
)
from ganad_tf.scoring.fit_encoder import fit_encoder_features
from ganad_tf.scoring.fit_to_part import fit_to_part, measure_part
from ganad_tf.scoring.map_batches import map_batches
from ganad_tf.scoring.measure import Measurer
from ganad_tf.scoring.object_or_texture import (
    layout_aurocs,
    layout_share,
    whole_size,
    with_layout,
)
from ganad_tf.settings.run_config import RunConfig

# Limits of what is fitted on: normal training images and places in them. More would cost memory
# and change little.
MAX_NORMALS = 10_000
MAX_PLACES = 50_000
BATCH = 256

_LOGGER = logging.getLogger(__name__)


def fit_encoder(
    config: RunConfig, plan: Plan, splits: Splits, encoder: EfficientNetLite0 | None
) -> tuple[Plan, EncoderFeatures | None]:
    """Fits to the pretrained encoder's features, and settles what follows from them.

    It needs no trained generator. What it finds decides how long the generator is trained.

    Args:
        config: the run's settings.
        plan: of the run.
        splits: its TRAINING images are fitted to, its normal VALIDATION images are tested.
        encoder: frozen, with ImageNet weights; None for a score of the generator alone.

    Returns:
        The plan with shares, epochs and how the threshold is found, and what was fitted; the same
        plan and None without an encoder.

    Raises:
        UsageError: if the false-alarm rate that was asked for cannot be promised.
    """
    splits = learnt_from(plan, splits)
    is_anomaly = splits.validation.is_anomaly
    if encoder is None:
        check_promise(is_anomaly, 0, config.max_false_alarms)
        return plan, None
    normals = fitted_normals(splits.train, plan.seed)
    _LOGGER.info("measuring %s normal images with %s", f"{len(normals):,}", plan.encoder)
    rows = _averaged_pixels(splits.train.images, normals, plan)
    share = layout_share(rows, splits.image_shape[-1])
    size = plan.encoder_size
    features = fit_encoder_features(
        encoder, splits.train, normals, size, plan.seed, whole_size(size, share)
    )
    pixels = FeatureDistance.fit(rows, plan.seed, shrinkage=PIXEL_SHRINKAGE)
    aurocs = layout_aurocs(features, pixels, splits.validation, plan)
    plan = with_layout(config, plan, share, aurocs)
    rows = rows[images_that_count(len(rows), plan.seed)]
    plan = with_cross_fit(plan, is_anomaly, rows)
    for decision in ("shares", "epochs", "cross_fit"):
        if decision in plan.reasons:
            _LOGGER.info("%s", plan.reasons[decision])
    check_promise(is_anomaly, len(rows) if plan.cross_fit else 0, config.max_false_alarms)
    return plan, features


def fit_detector(
    generator: Generator,
    splits: Splits,
    plan: Plan,
    encoder: EncoderFeatures | None = None,
) -> Detector:
    """Fits distances and ranges on TRAINING images, all else on VALIDATION images.

    With few photos, normal training images count among the latter, each measured by features that
    were fitted without it; see `ganad_tf.scoring.cross_fit`.

    Args:
        generator: the trained (averaged) generator, float32.
        splits: its training images, and validation images it was not trained on.
        plan: of the run, as settled by `fit_encoder`.
        encoder: of `fit_encoder`; None for a score of the generator alone.

    Raises:
        DataError: if a part has no normal images.
        UsageError: if the false-alarm rate cannot be promised with so few images.
    """
    train, validation = learnt_from(plan, splits).train, splits.validation
    distances = _fit_distances(generator, train.images, fitted_normals(train, plan.seed), plan.seed)
    measurer = Measurer(generator, distances, encoder)
    measured = measure_part(measurer, validation)
    folds = fit_folds(encoder, train, plan)
    crossed = fold_values(folds, plan.shares)
    scorer = fit_to_part(measurer, validation, measured, plan, folds, crossed)
    return Detector(
        measurer,
        scorer,
        splits.image_shape,
        splits.resize,
        splits.bit_depth,
        splits.max_pixels,
        fit_ranges(train),
    )


def fit_folds(
    encoder: EncoderFeatures | None,
    train: LabelledImages,
    plan: Plan,
    more_anomalies: np.ndarray | None = None,
) -> list[Fold]:
    """The folds of `cross_fitted`; none unless the plan is `cross_fit`.

    Args:
        encoder: of the detector.
        train: TRAINING images.
        plan: of the run.
        more_anomalies: see `cross_fitted`.
    """
    if encoder is None or not plan.cross_fit:
        return []
    normals = fitted_normals(train, plan.seed)
    normals = normals[images_that_count(len(normals), plan.seed)]
    pixels = _averaged_pixels(train.images, normals, plan)
    return cross_fitted(encoder, train, normals, pixels, plan.seed, more_anomalies)


def fitted_normals(train: LabelledImages, seed: int) -> np.ndarray:
    """The normal training images that distances are fitted to, int [n].

    Raises:
        DataError: if there are none.
    """
    if train.is_anomaly.all():
        raise DataError("Fitting distances needs normal training images. Received: none")
    return drawn(np.flatnonzero(~train.is_anomaly), MAX_NORMALS, seed)


def _averaged_pixels(images: np.ndarray | ImageView, indices: np.ndarray, plan: Plan) -> np.ndarray:
    """`averaged_pixels` of the images at `indices`, float32 [n, D]."""

    def averaged(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"pixels": averaged_pixels(to_network(batch, plan.generator_size))}

    return map_batches(averaged, images, indices, BATCH)["pixels"]


def _fit_distances(
    generator: Generator, images: np.ndarray | ImageView, indices: np.ndarray, seed: int
) -> FeatureDistances:
    """Fits to the normal training images at `indices`, and to at most `MAX_PLACES` places."""

    def pooled(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        x = to_network(batch, generator.image_size)
        maps = generator.encoder_maps(x, training=False)
        levels = {str(level): features for level, features in enumerate(grid_features(maps))}
        return {"pixels": averaged_pixels(x), **levels}

    def places(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        maps = generator.encoder_maps(to_network(batch, generator.image_size), training=False)
        return {"local": place_features(maps)}

    features = map_batches(pooled, images, indices, BATCH)
    rng = np.random.default_rng(seed)
    per_image = (generator.image_size // 2 ** (LOCAL_LEVEL + 1)) ** 2
    count = min(len(indices), max(1, MAX_PLACES // per_image))
    some = np.sort(rng.choice(indices, count, replace=False))
    local = map_batches(places, images, some, BATCH)["local"]
    pixels = features.pop("pixels")
    local = local.reshape(-1, local.shape[-1])
    return FeatureDistances.fit(pixels, list(features.values()), local, seed)
