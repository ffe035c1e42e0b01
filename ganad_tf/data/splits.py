"""The three parts of a data set that an experiment uses."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ganad_tf.data.account import FolderAccount
from ganad_tf.data.image_files.decoding import MAX_PIXELS
from ganad_tf.data.images import LabelledImages


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set in three parts: for training, for choices such as the threshold, and for testing.

    Args:
        train: labelled images to train on.
        validation: labelled images, held out of the training set, on which epochs, scores and
            thresholds are chosen.
        test: images on which no choice may depend.
        normal_name: the name of the normal kind, for reports.
        protocol: which anomalies are labelled; see `ganad_tf.data.fashion_mnist.protocols`. For a
            folder, `seen` if there are labelled anomalies to train on, else `none`.
        fingerprint: sha256 of the images and of the part of each image. Equal fingerprints mean
            equal splits; of a folder, of equal files, which another version may read otherwise.
        resize: how image files of other shapes were brought to the square, `stretch` or `pad`.
        bit_depth: how many bits of 16-bit image files are in use, 8 to 16.
        max_pixels: the most pixels that an image file may have.
        folder: what is known about the image files; None for Fashion-MNIST.
    """

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    normal_name: str
    protocol: str
    fingerprint: str
    resize: str = "stretch"
    bit_depth: int = 16
    max_pixels: int = MAX_PIXELS
    folder: FolderAccount | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(h, w, C) of every image."""
        height, width, channels = self.train.images.shape[1:]
        return int(height), int(width), int(channels)

    @property
    def n_labelled(self) -> int:
        """The number of anomalies in the training part."""
        return int(self.train.is_anomaly.sum())

    @property
    def n_masked(self) -> int:
        """The number of anomalies in the training part that have a mask."""
        masks = self.train.masks
        return 0 if masks is None else int(masks.known.sum())

    def summary(self) -> dict[str, dict[str, Any]]:
        """Counts per part: `{"train": {"normal": n, "anomaly": n, "kinds": {name: n}}, ...}`."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: _counts(part) for name, part in parts.items()}


def _counts(part: LabelledImages) -> dict[str, Any]:
    anomalies = int(part.is_anomaly.sum())
    per_kind = np.bincount(part.kinds, minlength=len(part.kind_names)).tolist()
    return {
        "normal": len(part) - anomalies,
        "anomaly": anomalies,
        "kinds": dict(zip(part.kind_names, per_kind, strict=True)),
    }
