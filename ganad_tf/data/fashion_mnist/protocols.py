"""One class is normal; a protocol decides which anomalies are labelled in training."""

import hashlib
from dataclasses import dataclass

import numpy as np

from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.errors import DataError, UsageError
from ganad_tf.settings.names import KNOWN_SHARE, PROTOCOLS


@dataclass(frozen=True)
class Labelling:
    """Which anomalies of the training set are labelled. Unlabelled ones are not used.

    Args:
        protocol: `seen`, all of them; `unseen`, those of the class `known`, as many as make up
            `known_share` of the labelled images; `few`, `anomalies` of them, evenly from all
            classes; `none`, none of them.
        known: number of the labelled class under `unseen`; by default the class after the normal
            one.
        known_share: in (0, 1). Deep SAD (Ruff et al., ICLR 2020, section 4.2) has 0.01 and 0.05.
        anomalies: number of labelled anomalies under `few`, at least 2.

    Raises:
        UsageError: if the protocol is unknown or `anomalies` is out of its range.
    """

    protocol: str = "seen"
    known: int | None = None
    anomalies: int | None = None
    known_share: float = KNOWN_SHARE

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise UsageError(
                f"protocol must be one of {', '.join(PROTOCOLS)}. Received: {self.protocol!r}"
            )
        if self.protocol == "few" and (self.anomalies is None or self.anomalies < 2):
            raise UsageError(
                f"anomalies must be at least 2, for protocol few. Received: {self.anomalies}"
            )
        if not 0 < self.known_share < 1:
            raise UsageError(f"known_share must lie between 0 and 1. Received: {self.known_share}")


ALL_LABELLED = Labelling()


def split_one_class(
    train: LabelledImages,
    test: LabelledImages,
    normal: int,
    labelling: Labelling = ALL_LABELLED,
    validation_fraction: float = 0.1,
    seed: int = 0,
) -> Splits:
    """Splits a data set for one normal class.

    The validation part is drawn from `train`, from each kind in proportion. Its normal images are
    the same under every protocol. `test` stays whole and in order.

    Args:
        train: the official training set.
        test: the official test set.
        normal: the number of the normal class.
        labelling: which anomalies of `train` are labelled.
        validation_fraction: share, in (0, 1), of the normal images and of the labelled anomalies
            that is held out; at least one of each.
        seed: of every draw.

    Raises:
        UsageError: if an argument is out of its range.
        DataError: if the training set has too few images of a class.
    """
    classes = len(train.kind_names)
    _check_arguments(classes, normal, labelling.known, validation_fraction)
    rng = np.random.default_rng(seed)

    normals = np.flatnonzero(train.kinds == normal)
    if len(normals) < 2:
        raise DataError(
            "The training set must hold at least 2 images of the normal class "
            f"{train.kind_names[normal]}. Received: {len(normals)}"
        )
    held_normals = _hold_out(train, normals, validation_fraction, rng)

    pool = np.flatnonzero(train.kinds != normal)
    if labelling.protocol == "unseen":
        known = (normal + 1) % classes if labelling.known is None else labelling.known
        pool = np.flatnonzero(train.kinds == known)
        count = round(len(normals) * labelling.known_share / (1 - labelling.known_share))
    else:
        counts = {"seen": len(pool), "few": labelling.anomalies or 0, "none": 0}
        count = counts[labelling.protocol]
    labelled = _draw(train, pool, count, rng)
    if len(labelled) == 1:
        raise DataError(
            "At least 2 anomalies must be labelled, one of them for validation. Received: 1"
        )
    held_anomalies = _hold_out(train, labelled, validation_fraction, rng)

    validation = np.union1d(held_normals, held_anomalies)
    training = np.setdiff1d(np.union1d(normals, labelled), validation)
    sha256 = hashlib.sha256(f"{train.digest()} {test.digest()} {normal}".encode())
    sha256.update(training.data)
    sha256.update(validation.data)
    return Splits(
        train=train.with_normal(normal).subset(training),
        validation=train.with_normal(normal).subset(validation),
        test=test.with_normal(normal),
        normal_name=train.kind_names[normal],
        protocol=labelling.protocol,
        fingerprint=sha256.hexdigest(),
    )


def _check_arguments(
    classes: int, normal: int, known: int | None, validation_fraction: float
) -> None:
    if not 0 <= normal < classes:
        raise UsageError(f"normal must be a class from 0 to {classes - 1}. Received: {normal}")
    if known is not None and (not 0 <= known < classes or known == normal):
        raise UsageError(
            f"known must be a class from 0 to {classes - 1} other than the normal one, {normal}. "
            f"Received: {known}"
        )
    if not 0 < validation_fraction < 1:
        raise UsageError(
            f"validation_fraction must lie between 0 and 1. Received: {validation_fraction}"
        )


def _hold_out(
    data: LabelledImages, indices: np.ndarray, fraction: float, rng: np.random.Generator
) -> np.ndarray:
    """Draws the validation share of `indices`, leaving at least one for training."""
    if not len(indices):
        return indices
    return _draw(data, indices, min(max(1, round(fraction * len(indices))), len(indices) - 1), rng)


def _draw(
    data: LabelledImages, pool: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Draws `count` of the indices in `pool`, from each kind in proportion to its size.

    The rest after rounding down goes to the kinds with the largest remainders, ties at random.
    """
    if count > len(pool):
        raise DataError(
            f"The training set must hold the {count} anomalies to be labelled. "
            f"Received: {len(pool)}"
        )
    if not count:
        return pool[:0]
    kinds, sizes = np.unique(data.kinds[pool], return_counts=True)
    shares, remainders = np.divmod(count * sizes, len(pool))
    by_remainder = np.lexsort((rng.random(len(kinds)), -remainders))
    shares[by_remainder[: count - shares.sum()]] += 1
    return np.concatenate(
        [
            rng.choice(pool[data.kinds[pool] == kind], share, replace=False)
            for kind, share in zip(kinds, shares, strict=True)
        ]
    )
