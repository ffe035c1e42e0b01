"""Normal training images, each measured by features that were fitted without it.

A threshold's promise rests on normal images that nothing was fitted to. Some hundred photos leave
a few of them in the validation part, and a threshold at the largest of few scores varies much.
Frozen features are fitted in closed form, so every training image can be held out in its turn: the
images are split in folds, and each fold is measured by what was fitted to the others. These
measurements join those of the validation part. The encoder sees each image once: what it gives does
not depend on what is fitted.

What is fitted to the other folds rests on fewer images than the detector. So distances are a little
larger, and the threshold errs towards fewer false alarms. No bound is proven for it: the one of
twice the rate (Barber, Candes, Ramdas and Tibshirani, *Predictive inference with the jackknife+*,
Annals of Statistics 49, 2021) is for new images that every fold's fit measures. What is seen is
kept by `benchmarks.few_photos`.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import pairwise_distances

from ganad_tf.calibration.thresholds import MIN_ANOMALIES, can_promise, steady_rate
from ganad_tf.data.images import LabelledImages, drawn
from ganad_tf.plan import Plan
from ganad_tf.scoring.encoder_features import DETAILS, MEANS, PATCHES, POOLED, EncoderFeatures
from ganad_tf.scoring.feature_distance import PIXEL_SHRINKAGE, FeatureDistance
from ganad_tf.scoring.fit_encoder import BATCH, fit_to_features, labelled_parts, some_images
from ganad_tf.scoring.label_direction import Direction
from ganad_tf.scoring.map_batches import map_batches, map_parts
from ganad_tf.scoring.measure import enlarge_places
from ganad_tf.scoring.scorer import Scorer
from ganad_tf.settings.names import (
    LABEL_DIRECTION,
    PIXELS,
)
from ganad_tf.wording import counted

# Ten cost twice as much and gave the same AUROC and false alarms on ELPV, splits 10 to 12, with 20
# to 100 photos.
FOLDS = 5
# With so many held-out images, 1 % can be promised without training images.
ENOUGH = 99
# Two in each fold. With fewer different images, what is fitted to the others says little.
MIN_DIFFERENT = 2 * FOLDS
# The features of more images would need more than 2 GB. Fewer than all make distances larger.
MAX_IMAGES = 2000
# Images whose averaged pixels differ by less than this share of the usual difference are copies of
# each other. The same images with noise of one grey level or saved as JPEG of quality 90 have 0.01
# to 0.07 on ELPV, on four classes of Fashion-MNIST and on drawn photos; different images have less
# than 0.1 only in one of twenty pairs of neighbours of ELPV, where it does no harm.
COPY = 0.1
# Relative to the length of a row of pixels.
ROUNDING = 1e-5


class Fold(NamedTuple):
    """Some normal training images, and what was fitted without them.

    Args:
        images: which of the images of `seen` and `averaged`, int [n].
        encoder: fitted without them.
        pixels: the distance of averaged pixels, likewise.
        seen: features of the images of all folds, as `EncoderFeatures.see` gives them.
        averaged: `averaged_pixels` of the same images, float32 [N, D].
    """

    images: np.ndarray
    encoder: EncoderFeatures
    pixels: FeatureDistance
    seen: Mapping[str, np.ndarray]
    averaged: np.ndarray

    def batches(self) -> Iterator[dict[str, np.ndarray]]:
        """The features of its images, batch by batch."""
        for start in range(0, len(self.images), BATCH):
            some = self.images[start : start + BATCH]
            yield {name: rows[some] for name, rows in self.seen.items()}


def images_that_count(count: int, seed: int) -> np.ndarray:
    """Which of so many normal training images are measured, at most `MAX_IMAGES`, sorted."""
    return drawn(np.arange(count), MAX_IMAGES, seed)


def with_cross_fit(plan: Plan, is_anomaly: np.ndarray, pixels: np.ndarray) -> Plan:
    """The plan, with what is needed so that its false-alarm rate can be promised.

    Args:
        plan: of the run, with shares.
        is_anomaly: bool [N], of the validation images.
        pixels: `averaged_pixels` of `images_that_count`, float32 [n, D].
    """
    n_anomaly = int(np.count_nonzero(is_anomaly))
    n_normal = len(is_anomaly) - n_anomaly
    asked = plan.max_false_alarms
    if (
        # Best F1 follows the share of anomalies, which training images would change.
        (asked is None and n_anomaly >= MIN_ANOMALIES)
        or (n_normal >= ENOUGH and (asked is None or can_promise(n_normal, asked)))
        or not plan.rests_on_frozen_features
        or _draw_folds(pixels, plan.seed) is None
    ):
        return plan
    reason = (
        f"only {counted(n_normal, 'normal image')} "
        f"{'is' if n_normal == 1 else 'are'} held out, so {len(pixels):,} training images count in "
        "the threshold, too, each measured by features that were fitted without it"
    )
    return dataclasses.replace(plan, cross_fit=True, reasons={**plan.reasons, "cross_fit": reason})


def promised_rate(plan: Plan, is_anomaly: np.ndarray, n_crossed: int) -> float | None:
    """The false-alarm rate to promise; None for the rule of `choose_threshold`.

    Args:
        plan: of the run.
        is_anomaly: bool [N], of the images that nothing was fitted to.
        n_crossed: how many normal training images count as well.
    """
    if plan.max_false_alarms is not None or not n_crossed:
        return plan.max_false_alarms
    return steady_rate(int(np.count_nonzero(~is_anomaly)), n_crossed)


def with_promised_rate(plan: Plan, is_anomaly: np.ndarray, folds: Sequence[Fold]) -> Plan:
    """The plan with the rate that `promised_rate` gives for held-out images and those of folds."""
    rate = promised_rate(plan, is_anomaly, sum(len(fold.images) for fold in folds))
    return dataclasses.replace(plan, max_false_alarms=rate)


def cross_fitted(
    encoder: EncoderFeatures,
    train: LabelledImages,
    normals: np.ndarray,
    pixels: np.ndarray,
    seed: int,
    more_anomalies: np.ndarray | None = None,
) -> list[Fold]:
    """Fits to the normal training images without those of one fold, for each fold.

    Images that are nearly equal are in the same fold: a copy would be measured by its original.

    Args:
        encoder: of the detector.
        train: TRAINING images.
        normals: int [n], the normal ones that count.
        pixels: their `averaged_pixels`, float32 [n, D].
        seed: of the folds, and of what is drawn in each.
        more_anomalies: uint8 [m, h, w, C]; the direction is fitted to them, too, beside the
            labelled anomalies of the training part.

    Returns:
        The folds; none with too few different images.
    """
    fold_of = _draw_folds(pixels, seed)
    if fold_of is None:
        return []

    def see(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        return encoder.see(batch, encoder.components)

    def see_direction(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        return encoder.see(batch, [LABEL_DIRECTION])

    seen = map_batches(see, train.images, normals, BATCH)
    directing, anomalous = None, np.empty(0)
    if encoder.direction is not None:
        directing = POOLED if encoder.direction.of_whole else MEANS
        parts = labelled_parts(train, seed, more_anomalies)
        anomalous = map_parts(see_direction, parts, BATCH)[directing]
    folds = []
    for number in range(FOLDS):
        kept, rest = np.flatnonzero(fold_of != number), np.flatnonzero(fold_of == number)
        direction = None
        if directing is not None:
            of_whole = directing == POOLED
            direction = Direction.fit(seen[directing][kept], anomalous, of_whole, seed)
        rng = np.random.default_rng(seed)
        some = some_images(kept, rng)
        fitted = fit_to_features(
            encoder.encoder,
            (encoder.image_size, encoder.whole_size),
            seen[POOLED][kept],
            {name: seen[name][some] for name in (PATCHES, DETAILS)},
            direction,
            rng,
        )
        distance = FeatureDistance.fit(pixels[kept], seed, shrinkage=PIXEL_SHRINKAGE)
        folds.append(Fold(rest, fitted, distance, seen, pixels))
    return folds


def fold_values(folds: Sequence[Fold], wanted: Collection[str]) -> dict[str, np.ndarray]:
    """The components `wanted` of the images of all folds, [n] each; empty without folds."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in wanted if folds}
    for fold in folds:
        for batch in fold.batches():
            values, _ = fold.encoder.measure_features(batch, wanted)
            for name in values:
                found[name].append(values[name].numpy())
        if PIXELS in wanted:
            found[PIXELS].append(fold.pixels(fold.averaged[fold.images]).numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def fold_peaks(folds: Sequence[Fold], scorer: Scorer, height: int, width: int) -> list[np.ndarray]:
    """The largest map value of each image, float32 [n] for each batch.

    Empty where the map shows errors of the generator, which was trained on the images.

    Args:
        folds: of `cross_fitted`.
        scorer: which maps count, and their scales.
        height, width: of the maps.
    """
    kinds, found = set(scorer.map_kinds()), []
    for fold in folds:
        if not kinds <= set(fold.encoder.components):
            return []
        for batch in fold.batches():
            _, places = fold.encoder.measure_features(batch, kinds)
            maps = {name: enlarge_places(seen, height, width) for name, seen in places.items()}
            found.append(tf.reduce_max(scorer.anomaly_map(maps), axis=(1, 2)).numpy())
    return found


def _draw_folds(pixels: np.ndarray, seed: int) -> np.ndarray | None:
    """The fold of each image, int [n]; None with fewer than `MIN_DIFFERENT` different ones.

    Args:
        pixels: `averaged_pixels`, float32 [n, D].
        seed: of the draw.
    """
    distances = pairwise_distances(pixels)
    usual = np.median(distances[np.triu_indices(len(pixels), 1)]) if len(pixels) > 1 else 0.0
    # Equal images differ by rounding.
    rounding = ROUNDING * np.linalg.norm(pixels, axis=1).max(initial=0.0)
    count, group = connected_components(distances <= COPY * usual + rounding, directed=False)
    if count < MIN_DIFFERENT:
        return None
    return (np.random.default_rng(seed).permutation(count) % FOLDS)[group]
