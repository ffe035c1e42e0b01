"""Batches that are half normal and half anomalous, in an order that (seed, epoch) decides."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from ganad_tf.data.folder.masks import Places
from ganad_tf.data.images import LabelledImages


class BalancedBatches:
    """Batches of a training set, its anomalies drawn evenly from groups.

    Every pool (the normal images, each group of anomalies) is gone through in random order again
    and again: no image of it comes a second time before all have come once, also across epochs.
    Slots for anomalies go to the groups in turn, so that a batch holds almost equally many of each.

    Nothing is remembered from one epoch to the next: a resumed run sets `epoch` and replays.

    Where no anomaly is labelled, the anomalous half holds a second, independent draw of normal
    images, to be turned into anomalies later.

    Args:
        train: the labelled training images.
        batch_size: B, even.
        steps_per_epoch: batches in an epoch.
        groups: int [number of anomalies], the group of each anomaly in order of appearance in
            `train`; by default all are one group.
        seed: of the order.
        places: where each anomaly is anomalous, in their order; batches then say so, too.

    Attributes:
        epoch: the epoch that the next iteration over `dataset()` yields, from 0. Set it before.

    Raises:
        ValueError: if there is no normal image, `groups` do not fit the anomalies, or a size is
            not as above.
    """

    def __init__(
        self,
        train: LabelledImages,
        batch_size: int,
        steps_per_epoch: int,
        groups: np.ndarray | None = None,
        seed: int = 0,
        places: Places | None = None,
    ):
        anomalies = np.flatnonzero(train.is_anomaly)
        normals = np.flatnonzero(~train.is_anomaly)
        groups = np.zeros(len(anomalies), np.int64) if groups is None else np.asarray(groups)
        if not len(normals):
            raise ValueError("train must hold normal images. Received: none")
        if groups.shape != anomalies.shape:
            raise ValueError(
                f"groups must be [{len(anomalies)}], one per anomaly in train. "
                f"Received: {list(groups.shape)}"
            )
        if batch_size < 2 or batch_size % 2 or steps_per_epoch < 1:
            raise ValueError(
                "batch_size must be even and positive, steps_per_epoch positive. "
                f"Received: {batch_size} and {steps_per_epoch}"
            )
        self.epoch = 0
        self.steps_per_epoch = steps_per_epoch
        self._images = train.images
        self._half = batch_size // 2
        self._seed = seed
        self._normals = normals
        self._places = places
        self._numbers = np.cumsum(train.is_anomaly) - 1  # of an anomaly among the anomalies
        self._anomalies = [anomalies[groups == g] for g in np.unique(groups)] or [normals]

    def epoch_indices(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Which images an epoch's batches hold: a pure function of the seed and `epoch`.

        Returns:
            normal: int64 [steps, B/2], indices into the training set.
            anomaly: int64 [steps, B/2], likewise.
        """
        count = self.steps_per_epoch * self._half
        slots = np.arange(epoch * count, (epoch + 1) * count)
        normal = self._take(self._normals, slots, stream=0)
        anomaly = np.empty_like(normal)
        for number, pool in enumerate(self._anomalies):
            turn = slots % len(self._anomalies) == number
            draws = slots[turn] // len(self._anomalies)
            anomaly[turn] = self._take(pool, draws, stream=1 + number)
        return normal.reshape(-1, self._half), anomaly.reshape(-1, self._half)

    def dataset(self, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        """One epoch of batches, that of `self.epoch` at the time an iteration begins.

        Args:
            worker, workers: take only this worker's share of each batch, every `workers`-th image.

        Returns:
            `{"normal": uint8 [B/2, H, W, C], "anomaly": uint8 [B/2, H, W, C]}` per batch, shapes
            static; B / workers with several workers. With `places` also `"where": uint8
            [B/2, H, W, 1]`, 255 where the anomalies are anomalous, else 0.

        Raises:
            ValueError: if the halves of a batch can't be shared evenly.
        """
        if self._half % workers:
            raise ValueError(
                f"batch_size must be a multiple of {2 * workers} for {workers} workers. "
                f"Received: {2 * self._half}"
            )
        half = tf.TensorSpec([self._half // workers, *self._images.shape[1:]], tf.uint8)
        signature = {"normal": half, "anomaly": half}
        if self._places is not None:
            signature["where"] = tf.TensorSpec([*half.shape[:3], 1], tf.uint8)
        batches = tf.data.Dataset.from_generator(
            lambda: self._batches(worker, workers), output_signature=signature
        )
        return batches.apply(
            tf.data.experimental.assert_cardinality(self.steps_per_epoch)
        ).prefetch(tf.data.AUTOTUNE)

    def _batches(self, worker: int, workers: int) -> Iterator[dict[str, np.ndarray]]:
        for normal, anomaly in zip(*self.epoch_indices(self.epoch), strict=True):
            normal, anomaly = normal[worker::workers], anomaly[worker::workers]
            batch = {"normal": self._images[normal], "anomaly": self._images[anomaly]}
            if self._places is not None:
                batch["where"] = self._places[self._numbers[anomaly]]
            yield batch

    def _take(self, pool: np.ndarray, draws: np.ndarray, stream: int) -> np.ndarray:
        """The consecutive `draws` from the endless sequence of permutations of `pool`."""
        if not len(draws):
            return pool[:0]
        first, last = draws[0] // len(pool), draws[-1] // len(pool)
        rounds = [
            np.random.default_rng([self._seed, stream, number]).permutation(pool)
            for number in range(first, last + 1)
        ]
        return np.concatenate(rounds)[draws - first * len(pool)]
