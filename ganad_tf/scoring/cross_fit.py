"""Normal training images, each measured by features that were fitted without it.

A threshold's promise rests on normal images that nothing was fitted to. Some hundred photos leave
a few of them in the validation part, and a threshold at the largest of few scores varies much.
Frozen features are fitted in closed form, so every training image can be held out in its turn: the
others are split in folds, and each fold is measured by what was fitted to the rest. These
measurements join those of the validation part. The encoder sees each image once: what it gives does
not depend on what is fitted.

The rest of a fold is smaller than all training images, so distances to it are a little larger and
the threshold errs towards fewer false alarms. The images of two folds share most of what they are
measured by, so the promise is less strict than that of held-out images: at most twice the rate is
proven for such schemes, and about the rate is seen (Barber, Candes, Ramdas and Tibshirani,
*Predictive inference with the jackknife+*, Annals of Statistics 49, 2021).
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ganad_tf.calibration.thresholds import MIN_ANOMALIES, can_promise, steady_rate
from ganad_tf.data.folder.wording import counted
from ganad_tf.data.image_view import ImageView
from ganad_tf.data.images import LabelledImages, pixel_digest
from ganad_tf.plan import PROMISED, Plan
from ganad_tf.scoring.encoder_features import DETAILS, MEANS, PATCHES, POOLED, EncoderFeatures
from ganad_tf.scoring.feature_distance import PIXEL_SHRINKAGE, FeatureDistance
from ganad_tf.scoring.fit_encoder import BATCH, fit_to_features, labelled_anomalies, some_images
from ganad_tf.scoring.label_direction import Direction
from ganad_tf.scoring.map_batches import map_batches
from ganad_tf.scoring.measure import enlarge_places
from ganad_tf.scoring.scorer import Scorer
from ganad_tf.settings.names import AUTO, PIXELS, PRETRAINED, TRAINED_COMPONENTS

# Ten cost twice as much and gave the same AUROC and false alarms on ELPV, splits 10 to 12, with 20
# to 100 photos.
FOLDS = 5
# So many held-out images promise 1 %, and hardly need others.
ENOUGH = 99
# Fewer images do not show how normal images differ. The features of more would need 1 GB.
MIN_IN_FOLD, MAX_IMAGES = 2, 1000


class Fold(NamedTuple):
    """Some normal training images, and what was fitted without them.

    Args:
        encoder: fitted without them.
        pixels: the distance of averaged pixels, likewise.
        seen: their features, as `EncoderFeatures.see` gives them, [n, ...] each.
        averaged: their `averaged_pixels`, float32 [n, D].
    """

    encoder: EncoderFeatures
    pixels: FeatureDistance
    seen: Mapping[str, np.ndarray]
    averaged: np.ndarray

    def batches(self) -> Iterator[dict[str, np.ndarray]]:
        """The features batch by batch."""
        for start in range(0, len(self.averaged), BATCH):
            yield {name: rows[start : start + BATCH] for name, rows in self.seen.items()}


def rests_on_frozen_features(plan: Plan) -> bool:
    """Whether the score of a settled plan has no part that was trained on the training images."""
    recipe = plan.fallback_score if plan.score == AUTO else plan.score
    return (
        recipe == PRETRAINED
        and bool(plan.shares)
        and plan.shares.keys().isdisjoint(TRAINED_COMPONENTS)
    )


def with_cross_fit(plan: Plan, held_out: np.ndarray, n_train: int) -> Plan:
    """The plan, with what is needed so that its false-alarm rate can be promised.

    Args:
        plan: of the run, with shares.
        held_out: bool [N], which of the validation images are anomalies.
        n_train: how many normal images the training part has.
    """
    n_anomaly = int(np.count_nonzero(held_out))
    n_normal = len(held_out) - n_anomaly
    asked = plan.max_false_alarms
    if (
        # Best F1 follows the share of anomalies, which training images would change.
        (asked is None and n_anomaly >= MIN_ANOMALIES)
        or (n_normal >= ENOUGH and (asked is None or can_promise(n_normal, asked)))
        or not rests_on_frozen_features(plan)
        or not MIN_IN_FOLD * FOLDS <= n_train <= MAX_IMAGES
    ):
        return plan
    reason = (
        f"{counted(n_normal, 'normal validation image')} would be few, so the threshold rests on "
        f"{n_train:,} training images, too, each measured by features that were fitted without it"
    )
    return dataclasses.replace(
        plan,
        cross_fit=True,
        max_false_alarms=asked or steady_rate(n_normal + n_train),
        reasons={**plan.reasons, "threshold": PROMISED, "cross_fit": reason},
    )


def cross_fitted(
    encoder: EncoderFeatures,
    train: LabelledImages,
    normals: np.ndarray,
    pixels: np.ndarray,
    seed: int,
    more_anomalies: np.ndarray | None = None,
) -> list[Fold]:
    """Fits to the normal training images without those of one fold, for each fold.

    Images with equal pixels are in the same fold.

    Args:
        encoder: of the detector.
        train: TRAINING images.
        normals: int [n], the normal ones that the encoder is fitted to.
        pixels: their `averaged_pixels`, float32 [n, D].
        seed: of the folds, and of what is drawn in each.
        more_anomalies: uint8 [m, h, w, C]; the direction is fitted to them, too, beside the
            labelled anomalies of the training part.
    """

    def see(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        return encoder.see(batch, encoder.components)

    seen = map_batches(see, train.images, normals, BATCH)
    directing, anomalous = None, np.empty(0)
    if encoder.direction is not None:
        directing = POOLED if encoder.direction.of_whole else MEANS
        parts = [(train.images, labelled_anomalies(train, seed))]
        if more_anomalies is not None:
            parts.append((more_anomalies, np.arange(len(more_anomalies))))
        anomalous = np.concatenate(
            [map_batches(see, some, which, BATCH)[directing] for some, which in parts if len(which)]
        )
    fold_of = _draw_folds(train.images, normals, seed)
    folds = []
    for number in np.unique(fold_of):
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
        folds.append(
            Fold(
                fitted,
                FeatureDistance.fit(pixels[kept], seed, shrinkage=PIXEL_SHRINKAGE),
                {name: rows[rest] for name, rows in seen.items()},
                pixels[rest],
            )
        )
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
            found[PIXELS].append(fold.pixels(fold.averaged).numpy())
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


def _draw_folds(images: np.ndarray | ImageView, normals: np.ndarray, seed: int) -> np.ndarray:
    """The fold of each of the images at `normals`, int [n]."""
    digests = [pixel_digest(np.asarray(images[i : i + 1])[0]).hex() for i in normals]
    names, group = np.unique(digests, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(names)) % FOLDS)[group]
