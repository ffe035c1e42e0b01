"""Tells the person who waits how training goes, and keeps the history."""

import json
import time
from pathlib import Path

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

from ganad_tf.artefacts import replace_file
from ganad_tf.data.images import LabelledImages
from ganad_tf.model import DualDiscriminatorGAN

# Enough to see where training goes; scoring all of validation would cost more than it tells.
MOST_IMAGES = 1000


class History(keras.callbacks.Callback):
    """Prints one line and keeps one JSON record for each epoch.

    Args:
        path: the history, one JSON object a line: the epoch, every loss, the AUROC of the
            reconstruction error on validation images (`None` without labelled anomalies there),
            images per second, and the seconds of training so far.
        validation: labelled images that are not trained on.
        images_per_epoch: training images in an epoch.
        epochs_done: where training starts; later records of an earlier attempt are dropped.
    """

    def __init__(
        self,
        path: str | Path,
        validation: LabelledImages,
        images_per_epoch: int,
        epochs_done: int = 0,
    ):
        super().__init__()
        self.path, self.images_per_epoch = Path(path), images_per_epoch
        self.records = read_history(path)[:epochs_done] if epochs_done else []
        rng = np.random.default_rng(0)
        halves = [
            rng.permutation(np.flatnonzero(part))[: MOST_IMAGES // 2]
            for part in (validation.is_anomaly, ~validation.is_anomaly)
        ]
        chosen = validation.subset(np.sort(np.concatenate(halves)))
        self.images, self.is_anomaly = chosen.images, chosen.is_anomaly
        self.seconds_before = self.records[-1]["seconds"] if self.records else 0.0

    def on_train_begin(self, logs=None):
        self.began = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch_began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        now = time.monotonic()
        record = {
            "epoch": epoch + 1,
            **{name: float(value) for name, value in (logs or {}).items()},
            "validation_auroc": self._auroc(),
            "images_per_second": self.images_per_epoch / (now - self.epoch_began),
            "seconds": self.seconds_before + time.monotonic() - self.began,
        }
        self.records.append(record)
        with replace_file(self.path) as temporary:
            temporary.write_text("".join(json.dumps(entry) + "\n" for entry in self.records))
        left = (self.params["epochs"] - epoch - 1) * (record["seconds"] / (epoch + 1))
        print(_line(record, self.params["epochs"], left), flush=True)

    def _auroc(self) -> float | None:
        if self.is_anomaly.all() or not self.is_anomaly.any():
            return None
        model: DualDiscriminatorGAN = self.model
        return float(roc_auc_score(self.is_anomaly, model.reconstruction_errors(self.images)))


def read_history(path: str | Path) -> list[dict]:
    """Reads what `History` wrote: one record for each epoch; empty without a file."""
    path = Path(path)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _line(record: dict, epochs: int, seconds_left: float) -> str:
    auroc = record["validation_auroc"]
    quality = "" if auroc is None else f"  validation AUROC {auroc:.4f}"
    minutes, seconds = divmod(round(seconds_left), 60)
    return (
        f"epoch {record['epoch']:>3}/{epochs}"
        f"  G {record['generator']:.3f}"
        f"  D_N {record['normal_discriminator']:.3f}"
        f"  D_A {record['anomaly_discriminator']:.3f}"
        f"{quality}  {record['images_per_second']:.0f} images/s  {minutes}:{seconds:02d} left"
    )
