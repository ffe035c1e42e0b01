"""Watches training: one line an epoch, a progress bar, the history, and the best epoch."""

import csv
import logging
import math
import time
from pathlib import Path

import keras
import numpy as np
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from ganad_tf.atomic_files import replace_file
from ganad_tf.calibration.thresholds import MIN_ANOMALIES
from ganad_tf.data.images import LabelledImages
from ganad_tf.errors import TrainingError
from ganad_tf.tracking import Tracker
from ganad_tf.training.checkpoint import save_weights
from ganad_tf.training.validation import ValidationScore

# Of validation images that are scored after each epoch. More would take longer and hardly change
# which epoch is best.
MAX_IMAGES = 2000
WATCHED = "validation_auroc"

_LOGGER = logging.getLogger(__name__)


_WAY_OUT = "try a lower --learning-rate or --precision float32"


class StopWhenNotFinite(keras.callbacks.Callback):
    """Stops the run when a loss or a weight is no longer finite, and names it.

    Raises:
        TrainingError: if a loss is NaN or infinite after a step whose losses are known, which with
            several workers is the last of an epoch; or if a weight that scores is after an epoch.
    """

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        for name, value in (logs or {}).items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"loss {name!r} must stay finite; {_WAY_OUT}. Received: {value} in epoch "
                    f"{self.epoch}, batch {batch + 1}"
                )

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        # The last step's losses were computed before its update, so they cannot show a broken one.
        weights = self.model.averaged_generator.get_weights()
        if not all(np.isfinite(weight).all() for weight in weights):
            raise TrainingError(
                f"the generator's weights must stay finite; {_WAY_OUT}. Received: NaN or infinity "
                f"after epoch {self.epoch}"
            )


class History(keras.callbacks.Callback):
    """Keeps a record of each epoch, logs it, and keeps the best epoch's averaged generator.

    The best epoch is the one whose averaged generator has the highest AUROC on validation images,
    the later of equals. With too few anomalies in validation to compare by, it is the last epoch.

    Args:
        path: the history, a CSV file: the epoch, every loss, `validation_auroc` (empty with too
            few labelled anomalies), images per second, and the seconds of training so far.
        best: where the best epoch's weights are written, ending in `.weights.h5`.
        validation: labelled images that are not trained on.
        images_per_epoch: training images in an epoch.
        records: of the epochs that were trained before a resume.
    """

    def __init__(
        self,
        path: Path,
        best: Path,
        validation: LabelledImages,
        images_per_epoch: int,
        records: list[dict],
    ):
        super().__init__()
        self.path, self.best, self.images_per_epoch = path, best, images_per_epoch
        self.records = list(records)
        rng = np.random.default_rng(0)
        halves = [
            rng.permutation(np.flatnonzero(part))[: MAX_IMAGES // 2]
            for part in (validation.is_anomaly, ~validation.is_anomaly)
        ]
        chosen = validation.subset(np.sort(np.concatenate(halves)))
        self.images, self.is_anomaly = chosen.images[:], chosen.is_anomaly

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.seconds_before = self.records[-1]["seconds"] if self.records else 0.0
        self.began = time.monotonic()
        self.score = ValidationScore(self.model)
        # No bar in a file or a pipe; the log has a line for each epoch.
        self.bar = tqdm(
            total=self.params["epochs"] * self.params["steps"],
            initial=len(self.records) * self.params["steps"],
            unit="batch",
            disable=None,
            leave=False,
        )

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.epoch_began = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        now = time.monotonic()
        auroc = self._auroc()
        if logs is not None and auroc is not None:
            logs[WATCHED] = auroc  # for TensorBoard
        earlier = [record[WATCHED] for record in self.records]
        if auroc is None or auroc >= max(earlier, default=0.0):
            save_weights(self.model.averaged_generator, self.best)
        record = {
            "epoch": epoch + 1,
            **{name: float(value) for name, value in (logs or {}).items()},
            WATCHED: auroc,
            "images_per_second": self.images_per_epoch / (now - self.epoch_began),
            "seconds": self.seconds_before + time.monotonic() - self.began,
        }
        self.records.append(record)
        with replace_file(self.path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, record)
            writer.writeheader()
            writer.writerows(self.records)
        left = (self.params["epochs"] - epoch - 1) * record["seconds"] / (epoch + 1)
        with tqdm.external_write_mode():  # or the line would be drawn into the bar
            _LOGGER.info("%s", _line(record, self.params["epochs"], left))
        if auroc is not None:
            self.bar.set_postfix_str(f"validation AUROC {auroc:.4f}")

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self.bar.close()

    def _auroc(self) -> float | None:
        if self.is_anomaly.all() or self.is_anomaly.sum() < MIN_ANOMALIES:
            return None
        return float(roc_auc_score(self.is_anomaly, self.score(self.images)))


class TrackEpochs(keras.callbacks.Callback):
    """Sends the settings, and each epoch's record, to a tracker.

    Args:
        tracker: of the run.
        history: keeps the records; it must be called before this.
        run: the run folder, with its settings and its plan.
    """

    def __init__(self, tracker: Tracker, history: History, run: Path):
        super().__init__()
        self.tracker, self.history, self.run = tracker, history, run

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.tracker.log_settings(self.run)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.tracker.log_epoch(self.history.records[-1])


def read_history(path: Path) -> list[dict]:
    """Reads what `History` wrote: one record for each epoch; empty without a file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            {
                # Resumed runs of earlier versions have epochs such as 1.0.
                name: int(float(value)) if name == "epoch" else float(value) if value else None
                for name, value in row.items()
            }
            for row in csv.DictReader(file)
        ]


def best_epoch(records: list[dict]) -> int:
    """Number of the epoch whose weights were kept."""
    return max(range(len(records)), key=lambda i: (records[i][WATCHED] or 0.0, i)) + 1


def _line(record: dict, epochs: int, seconds_left: float) -> str:
    auroc = record[WATCHED]
    quality = "" if auroc is None else f"  validation AUROC {auroc:.4f}"
    minutes, seconds = divmod(round(seconds_left), 60)
    return (
        f"epoch {record['epoch']:>3}/{epochs}"
        f"  G {record['generator']:.3f}"
        f"  D_N {record['normal_discriminator']:.3f}"
        f"  D_A {record['anomaly_discriminator']:.3f}"
        f"{quality}  {record['images_per_second']:.0f} images/s  {minutes}:{seconds:02d} left"
    )
