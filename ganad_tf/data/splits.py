"""The three parts of a data set that an experiment uses."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ganad_tf.data.folder.masks import Places
from ganad_tf.data.images import LabelledImages


@dataclass(frozen=True, eq=False)
class Splits:
    """What is learnt from, what decisions are made on, and what is only ever measured.

    Args:
        train: labelled images to learn from.
        validation: labelled images, held out of the training set, on which epochs, scores and
            thresholds are chosen.
        test: images that no choice may depend on.
        normal_name: the normal kind, as reports call it.
        protocol: which anomalies are labelled; see `ganad_tf.data.fashion_mnist.protocols`.
        fingerprint: sha256 of the data set and of who is in which part; equal fingerprints mean
            equal splits.
        places: where each training anomaly is anomalous, in their order; None without masks.
    """

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    normal_name: str
    protocol: str
    fingerprint: str
    places: Places | None = field(default=None, kw_only=True)

    @property
    def labelled(self) -> int:
        """How many anomalies there are to learn from."""
        return int(self.train.is_anomaly.sum())

    @property
    def masked(self) -> int:
        """How many of these have a mask."""
        return self.places.known if self.places else 0

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
