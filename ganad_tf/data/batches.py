"""Batches that are half normal and half anomalous, in an order fixed by seed and epoch."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from ganad_tf.data.images import LabelledImages


class BalancedBatches:
    """Batches of a training set, with anomalies drawn evenly from groups.

    The normal images form one pool, and each group of anomalies another. A pool is used up in
    random order before any of its images is repeated, also across epochs. The groups take turns, so
    that a batch holds almost the same number of anomalies from each.

    No state is kept from one epoch to the next: a resumed run sets `epoch` and gets the
    same batches.

    If no anomaly is labelled, the anomalous half is a second, independent draw of normal images,
    from which synthetic anomalies are made later.

    If any anomaly has a mask in `train.masks`, batches also hold masks.

    Args:
        train: the labelled training images, with their masks.
        batch_size: B, even.
        steps_per_epoch: number of batches in an epoch.
        groups: int [number of anomalies], the group of each anomaly, in the order of the anomalies
            in `train`; by default they form one group.
        seed: of the order of images.

    Attributes:
        epoch: the epoch, from 0, that the next iteration over `dataset()` yields. Set it before.

    Raises:
        ValueError: if there is no normal image, `groups` has another length, or a size is not as
            above.
    """

    def __init__(
        self,
        train: LabelledImages,
        batch_size: int,
        steps_per_epoch: int,
        groups: np.ndarray | None = None,
        seed: int = 0,
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
        masked = train.masks is not None and train.masks.known.any()
        self._masks = train.masks if masked else None
        self._anomalies = [anomalies[groups == g] for g in np.unique(groups)] or [normals]

    def epoch_indices(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The images in the batches of an epoch, a pure function of the seed and `epoch`.

        Returns:
            normal: int64 [steps, B/2], indices into the training set.
            anomaly: int64 [steps, B/2], likewise.
        """
        count = self.steps_per_epoch * self._half
        slots = np.arange(epoch * count, (epoch + 1) * count)
        normal = self._take(self._normals, slots, stream=0)
        anomaly = np.empty_like(normal)
        for number, pool in enumerate(self._anomalies):
            own = slots % len(self._anomalies) == number
            draws = slots[own] // len(self._anomalies)
            anomaly[own] = self._take(pool, draws, stream=1 + number)
        return normal.reshape(-1, self._half), anomaly.reshape(-1, self._half)

    def dataset(self, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        """One epoch of batches: the one that `self.epoch` names when an iteration begins.

        Args:
            worker: number of this worker, from 0. It gets every `workers`-th image of each batch.
            workers: number of workers.

        Returns:
            `{"normal": uint8 [B/2, H, W, C], "anomaly": uint8 [B/2, H, W, C]}` per batch, with
            static shapes; with several workers, B/2/workers images each. With masks also `"mask":
            uint8 [B/2, H, W, 1]` of the anomalies: 255 on defective pixels, else 0.

        Raises:
            ValueError: if half a batch cannot be divided evenly among the workers.
        """
        if self._half % workers:
            raise ValueError(
                f"batch_size must be a multiple of {2 * workers} for {workers} workers. "
                f"Received: {2 * self._half}"
            )
        half = tf.TensorSpec([self._half // workers, *self._images.shape[1:]], tf.uint8)
        signature = {"normal": half, "anomaly": half}
        if self._masks is not None:
            signature["mask"] = tf.TensorSpec([*half.shape[:3], 1], tf.uint8)
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
            if self._masks is not None:
                batch["mask"] = self._masks.as_pixels(anomaly)
            yield batch

    def _take(self, pool: np.ndarray, draws: np.ndarray, stream: int) -> np.ndarray:
        """The given consecutive draws from an endless sequence of permutations of `pool`."""
        if not len(draws):
            return pool[:0]
        first, last = draws[0] // len(pool), draws[-1] // len(pool)
        rounds = [
            np.random.default_rng([self._seed, stream, number]).permutation(pool)
            for number in range(first, last + 1)
        ]
        return np.concatenate(rounds)[draws - first * len(pool)]
