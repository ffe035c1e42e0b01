"""Makes a detector of a trained generator: fits distances, the scorer and the map scales."""

import dataclasses
import logging

import numpy as np
import tensorflow as tf

from ganad_tf.data.image_statistics import fit_ranges
from ganad_tf.data.image_view import ImageView
from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.networks import EfficientNetLite0, Generator
from ganad_tf.plan import Plan
from ganad_tf.preprocessing import to_network
from ganad_tf.scoring.detector import Detector, batch_size_for
from ganad_tf.scoring.feature_distance import (
    LOCAL_LEVEL,
    FeatureDistances,
    averaged_pixels,
    local_features,
    pooled_features,
)
from ganad_tf.scoring.fit_encoder import fit_encoder_features
from ganad_tf.scoring.fit_scorer import fit_scorer
from ganad_tf.scoring.map_batches import map_batches
from ganad_tf.scoring.measure import Measurer
from ganad_tf.scoring.object_or_texture import explain_layout, layout_aurocs, pretrained_shares
from ganad_tf.scoring.scorer import MapScale, Scorer
from ganad_tf.settings.names import MAX_ERROR, PRETRAINED, RECIPES

# Of the pixels of normal validation images, this share lies below a map value of 1.
MAP_QUANTILE = 0.999
# Limits of what is fitted on: normal training images, places in them, and pixels of normal
# validation images. More would cost memory and change little.
MAX_NORMALS = 10_000
MAX_PLACES = 50_000
MAX_PIXELS = 10_000_000
BATCH = 256

_LOGGER = logging.getLogger(__name__)


def fit_detector(
    generator: Generator,
    splits: Splits,
    plan: Plan,
    encoder: EfficientNetLite0 | None = None,
) -> Detector:
    """Fits distances on TRAINING images, everything else on VALIDATION images.

    Args:
        generator: the trained (averaged) generator, float32.
        splits: its training images, and validation images it was not trained on.
        plan: of the run.
        encoder: frozen, with ImageNet weights; None for a score of the generator alone.

    Raises:
        DataError: if a part has no normal images.
        UsageError: if the false-alarm rate cannot be promised with so few images.
    """
    train, validation = splits.train, splits.validation
    normals = np.flatnonzero(~train.is_anomaly)
    if len(normals) > MAX_NORMALS:
        normals = np.random.default_rng(plan.seed).choice(normals, MAX_NORMALS, replace=False)
    normals = np.sort(normals)
    measurer = Measurer(
        generator,
        _fit_distances(generator, train.images, normals, plan.seed),
        None
        if encoder is None
        else fit_encoder_features(encoder, train, normals, plan.encoder_size, plan.seed),
    )
    values = _measure(measurer, validation)
    scales = _fit_map_scales(measurer, validation)
    if measurer.encoder is None:
        scorer = fit_scorer(values, validation.is_anomaly, scales, plan)
    else:
        scorer = _fit_with_encoder(measurer, values, scales, validation, plan)
    return Detector(
        measurer,
        scorer,
        splits.image_shape,
        splits.resize,
        splits.bit_depth,
        splits.max_pixels,
        fit_ranges(train),
    )


def _fit_with_encoder(
    measurer: Measurer,
    values: dict[str, np.ndarray],
    scales: dict[str, MapScale],
    validation: LabelledImages,
    plan: Plan,
) -> Scorer:
    """Fits the scorer with the shares that follow from the layout test, and says so."""
    aurocs = layout_aurocs(measurer, validation, plan.seed)
    shares = pretrained_shares(plan, aurocs)
    found = explain_layout(aurocs)
    _LOGGER.info("%s", found)
    recipes = {**RECIPES, PRETRAINED: shares}
    scorer = fit_scorer(values, validation.is_anomaly, scales, plan, recipes)
    if scorer.explanation["score"] != PRETRAINED:
        return scorer
    parts = ", ".join(f"{name} {share:.2g}" for name, share in shares.items())
    why = f"{scorer.explanation['why']}; {found}; shares: {parts}"
    explanation = {**scorer.explanation, "why": why, "layout_auroc": aurocs}
    return dataclasses.replace(scorer, explanation=explanation)


def _measure(measurer: Measurer, part: LabelledImages) -> dict[str, np.ndarray]:
    """Every component of every image, [N] each."""

    def values(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return measurer(images, measurer.components).values

    return map_batches(values, part.images, np.arange(len(part)), batch_size_for(measurer))


def _fit_map_scales(measurer: Measurer, validation: LabelledImages) -> dict[str, MapScale]:
    """Quantiles over the pixels of normal validation images."""

    def maps(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return measurer(images, measurer.components).maps

    pixels_each = validation.images.shape[1] * validation.images.shape[2]
    some = np.flatnonzero(~validation.is_anomaly)[: MAX_PIXELS // pixels_each]
    pixels = map_batches(maps, validation.images, some, batch_size_for(measurer))
    return {
        kind: MapScale(
            # Errors of normal images are near 0 already.
            0.0 if kind == MAX_ERROR else float(np.median(values)),
            float(np.quantile(values, MAP_QUANTILE)),
        )
        for kind, values in pixels.items()
    }


def _fit_distances(
    generator: Generator, images: np.ndarray | ImageView, indices: np.ndarray, seed: int
) -> FeatureDistances:
    """Fits to the normal training images at `indices`, and to at most `MAX_PLACES` places."""

    def pooled(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        x = to_network(batch, generator.image_size)
        maps = generator.encoder_maps(x, training=False)
        levels = {str(level): features for level, features in enumerate(pooled_features(maps))}
        return {"pixels": averaged_pixels(x), **levels}

    def places(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        maps = generator.encoder_maps(to_network(batch, generator.image_size), training=False)
        return {"local": local_features(maps)}

    features = map_batches(pooled, images, indices, BATCH)
    rng = np.random.default_rng(seed)
    per_image = (generator.image_size // 2 ** (LOCAL_LEVEL + 1)) ** 2
    count = min(len(indices), max(1, MAX_PLACES // per_image))
    some = np.sort(rng.choice(indices, count, replace=False))
    local = map_batches(places, images, some, BATCH)["local"]
    pixels = features.pop("pixels")
    local = local.reshape(-1, local.shape[-1])
    return FeatureDistances.fit(pixels, list(features.values()), local, seed)
