"""Fits a detector again in closed form after a person has corrected some decisions. No training."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ganad_tf.data.images import LabelledImages, pixel_digest
from ganad_tf.data.splits import Splits
from ganad_tf.plan import Plan, learnt_from
from ganad_tf.scoring.cross_fit import fold_values
from ganad_tf.scoring.detector import Detector, batch_size_for
from ganad_tf.scoring.encoder_features import EncoderFeatures
from ganad_tf.scoring.fit_detector import fit_folds, fitted_normals
from ganad_tf.scoring.fit_encoder import fit_direction, labelled_parts
from ganad_tf.scoring.fit_to_part import MoreImages, fit_to_part, measure_part
from ganad_tf.scoring.map_batches import map_batches
from ganad_tf.scoring.measure import Measurer
from ganad_tf.scoring.object_or_texture import pretrained_shares
from ganad_tf.settings.names import LABEL_DIRECTION


def refit(
    detector: Detector, splits: Splits, plan: Plan, images: np.ndarray, is_anomaly: np.ndarray
) -> tuple[Detector, dict[str, Any]]:
    """Fits the direction to the labelled anomalies and the scorer again, with corrected images.

    Corrected anomalies join the labelled anomalies of the training part, and the direction is
    fitted to both. Corrected normal images join the validation part, so they enter both thresholds.
    Where the score has no such direction, corrected anomalies join the validation part, too.

    Each call starts from the images of the run, so it does not matter which corrections an earlier
    call had.

    Args:
        detector: of the run; not changed.
        splits: the run's images. Those that are corrected count with the new label alone.
        plan: of the run.
        images: the corrected ones, uint8 [n, h, w, C], no two alike.
        is_anomaly: bool [n], what they are.

    Returns:
        The new detector, and plain values for JSON: `labelled_anomalies` that the direction is
        fitted to and its `weight` in the score, each `old` and `new`.
    """
    corrected = {pixel_digest(image) for image in images}
    splits = dataclasses.replace(
        splits,
        train=without(splits.train, corrected),
        validation=without(splits.validation, corrected),
    )
    train = learnt_from(plan, splits).train
    encoder, labelled = detector.measurer.encoder, int(train.is_anomaly.sum())
    new_plan = plan
    if encoder is not None:
        labelled += int(is_anomaly.sum())
        new_plan = _with_labelled(plan, labelled)
        encoder = _with_direction(encoder, train, plan.seed, images[is_anomaly])
    measurer = dataclasses.replace(detector.measurer, encoder=encoder)
    measured = measure_part(measurer, splits.validation)
    folds = fit_folds(encoder, train, new_plan, images[is_anomaly])
    crossed = fold_values(folds, new_plan.shares)
    values = _measure(measurer, images)

    def fitted(joining: np.ndarray) -> Detector:
        """With the corrected images `joining`, bool [n], in the validation part."""
        more = MoreImages(
            images[joining],
            is_anomaly[joining],
            {name: column[joining] for name, column in values.items()},
        )
        scorer = fit_to_part(measurer, splits.validation, measured, new_plan, folds, crossed, more)
        return Detector(
            measurer,
            scorer,
            splits.image_shape,
            detector.resize,
            detector.bit_depth,
            detector.max_pixels,
            detector.image_ranges,
        )

    result = fitted(~is_anomaly)
    if not result.scorer.uses(LABEL_DIRECTION):  # nothing has learnt from the anomalies
        result = fitted(np.ones_like(is_anomaly))
    return result, {
        "labelled_anomalies": {"old": plan.n_labelled, "new": labelled},
        "weight": {"old": _weight(detector), "new": _weight(result)},
    }


def _with_labelled(plan: Plan, labelled: int) -> Plan:
    """The plan as it would be with so many labelled anomalies."""
    plan = dataclasses.replace(plan, n_labelled=labelled)
    if not plan.shares or plan.layout_share is None:
        return plan
    shares = pretrained_shares(plan, plan.layout_share, plan.layout_auroc)
    return dataclasses.replace(plan, shares=shares)


def _with_direction(
    encoder: EncoderFeatures, train: LabelledImages, seed: int, anomalies: np.ndarray
) -> EncoderFeatures:
    """The encoder with the direction to the labelled training anomalies and to `anomalies`."""
    parts = labelled_parts(train, seed, anomalies)
    direction = fit_direction(encoder, train.images, fitted_normals(train, seed), parts, seed)
    return dataclasses.replace(encoder, direction=direction)


def _measure(measurer: Measurer, images: np.ndarray) -> Mapping[str, np.ndarray]:
    """Every component of every image, [n] each."""

    def values(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        return measurer(batch, measurer.components).values

    return map_batches(values, images, np.arange(len(images)), batch_size_for(measurer))


def without(part: LabelledImages, digests: set[bytes]) -> LabelledImages:
    """The images of a part whose pixels, as SHA-256, are not among `digests`."""
    kept = [
        pixel_digest(np.asarray(part.images[i : i + 1])[0]) not in digests for i in range(len(part))
    ]
    return part.subset(np.flatnonzero(kept))


def _weight(detector: Detector) -> float:
    """The direction's part in the score."""
    components = detector.scorer.components
    return sum(one.weight for one in components if one.name == LABEL_DIRECTION)
