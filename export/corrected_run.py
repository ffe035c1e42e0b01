"""A finished run that learns from corrections, before its next export. Needs TensorFlow."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganad_tf.atomic_files import read_json
from ganad_tf.calibration.thresholds import Threshold
from ganad_tf.errors import UsageError
from ganad_tf.plan import Plan
from ganad_tf.run_folder import PLAN
from ganad_tf.scoring.detector_files import ENCODER_ARRAYS, save_arrays
from ganad_tf.scoring.refit import refit, without
from ganad_tf.settings.names import LABEL_DIRECTION

from .calibrated_graph import RECALIBRATED
from .corrections import Corrections
from .new_images import check_different, read_images
from .recalibrated_run import Run
from .recalibration import Fitted, describe_decision, describe_marks
from .run import load_splits_of


class CorrectedRun(Run):
    """The detector of a finished run, and what a person corrected.

    Args:
        folder: the run folder, locked by this process.
        flags: with `max_pixels`, `max_false_alarms`, `normals`, and where the run's images are.
        corrections: what was corrected.

    Attributes:
        not_learnt: corrected anomalies that only the threshold can take into account, because the
            score has no part that is fitted to labels.

    Raises:
        ArtefactError: if the run is damaged, or its images are not there.
        UsageError: if the run was recalibrated for other images, and these are not given again.
    """

    def __init__(self, folder: Path, flags: argparse.Namespace, corrections: Corrections):
        super().__init__(folder, flags.max_pixels)
        # `learn` changes the scores.
        self.before = dataclasses.replace(self.before, compares=False)
        ranges = self.detector.image_ranges or {}
        if flags.normals is None and ranges.get("source") == "recalibration":
            raise UsageError(
                f"{folder} was recalibrated with new images, whose scores change with the "
                "corrections: NORMALS must be given again. Received: none"
            )
        self._corrections = corrections
        plan = Plan.from_dict(read_json(folder / PLAN))
        if flags.max_false_alarms is not None:
            plan = dataclasses.replace(plan, max_false_alarms=flags.max_false_alarms)
        self._plan = plan
        self._splits = load_splits_of(folder, flags, self.detector)
        self._record: dict[str, Any] = {}
        self.not_learnt: tuple[str, ...] = ()

    def learn(self) -> None:
        """Fits the detector again in memory.

        Raises:
            DataError: if a corrected image cannot be read or has both labels.
        """
        parts, digests = [], []
        for paths in (self._corrections.normal, self._corrections.anomaly):
            images, found = read_images(self, paths) if paths else (None, {})
            parts += [] if images is None else [images]
            digests.append(found)
        check_different(*digests)
        images = np.concatenate(parts)
        is_anomaly = np.arange(len(images)) >= len(digests[0])
        old = self.detector
        self.detector, fitted = refit(old, self._splits, self._plan, images, is_anomaly)
        self._judged = _Judged(is_anomaly, old.predict(images), self.detector.score_samples(images))
        if not self.detector.scorer.uses(LABEL_DIRECTION):
            self.not_learnt = self._corrections.anomaly
        test = self._splits.test
        untouched = without(test, digests[0].keys() | digests[1].keys())
        self._record = {
            "corrections": {
                **self._corrections.to_dict(),
                "of_test_part": len(test) - len(untouched),
            },
            "direction": fitted,
        }

    def write(self, fitted: Fitted) -> None:
        """Writes what was learnt, with a calibration for new images."""
        fitted.record.update(self._recorded(fitted.threshold.value))
        super().write(fitted)

    def write_learnt(self) -> None:
        """Writes what was learnt, with the calibration of the run's own validation images."""
        scorer = self.detector.scorer
        assert scorer.pixel_threshold is not None  # `refit` sets it
        pixel = Threshold(scorer.pixel_threshold, scorer.explanation["pixel_threshold"])
        threshold = Threshold(scorer.threshold, scorer.explanation["threshold"])
        probability = {"slope": scorer.slope, "intercept": scorer.intercept}
        record = {
            **describe_decision(self.before, threshold, probability, scorer.normal_scores),
            "normal_images": scorer.explanation["normal_images"],
            "anomalous_images": scorer.explanation["anomalous_images"],
            **describe_marks(self.before, pixel, scorer.normal_peaks),
            **self._recorded(scorer.threshold),
        }
        explanation = {**scorer.explanation, RECALIBRATED: record}
        self.replace(dataclasses.replace(scorer, explanation=explanation), None)

    def write_others(self, folder: Path) -> None:
        """Writes the direction to the labelled anomalies."""
        encoder = self.detector.measurer.encoder
        if encoder is not None:
            save_arrays(folder / ENCODER_ARRAYS, encoder.to_arrays())

    def report(self, fitted: Fitted | None = None) -> list[str]:
        """What was learnt; lines for a person.

        Args:
            fitted: a calibration for new images; None for the one of the run's validation images.
        """
        scorer, direction = self.detector.scorer, self._record["direction"]
        labelled, weight = direction["labelled_anomalies"], direction["weight"]
        lines = [
            f"the direction to labelled anomalies is fitted to {labelled['new']:,}, "
            f"{labelled['old']:,} in training; weight in the score {weight['old']:.3g} before, "
            f"{weight['new']:.3g} now"
            if scorer.uses(LABEL_DIRECTION)
            else "the score of this run has no part that is fitted to labels, so corrections enter "
            "the threshold and the probability alone"
        ]
        if fitted is None:
            lines.append(
                f"threshold: {scorer.threshold:.6g} ({scorer.explanation['threshold']}); scores "
                "have changed, so it does not compare with the old one"
            )
        chosen = scorer.threshold if fitted is None else fitted.threshold.value
        return [*lines, *self._judged.report(chosen)]

    def _recorded(self, threshold: float) -> dict[str, Any]:
        """What the record says of the corrections, with the threshold that is written."""
        right = self._judged.decided_as_corrected(threshold)
        corrections = {**self._record["corrections"], "decided_as_corrected": right}
        return {**self._record, "corrections": corrections}


class _Judged(NamedTuple):
    """The corrected images, as the person and the detectors judge them.

    Args:
        is_anomaly: bool [n], what the person said.
        old: bool [n], what the detector said before.
        scores: float32 [n], of the detector that has learnt from them.
    """

    is_anomaly: np.ndarray
    old: np.ndarray
    scores: np.ndarray

    def decided_as_corrected(self, threshold: float) -> dict[str, dict[str, int]]:
        """`old` and `new` -> label -> how many are decided as the person decided."""
        right = {}
        for name, decided in (("old", self.old), ("new", self.scores > np.float32(threshold))):
            same = decided == self.is_anomaly
            of_label = {"normal": same[~self.is_anomaly], "anomaly": same[self.is_anomaly]}
            right[name] = {label: int(found.sum()) for label, found in of_label.items()}
        return right

    def report(self, threshold: float) -> list[str]:
        """The same in words."""
        right, anomalies = self.decided_as_corrected(threshold), int(self.is_anomaly.sum())
        counts = {"normal": len(self.is_anomaly) - anomalies, "anomaly": anomalies}
        words = {"normal": "corrected normal images", "anomaly": "corrected anomalies"}
        return [
            f"{words[label]} decided as corrected: {right['old'][label]:,} of {count:,} before, "
            f"{right['new'][label]:,} now"
            for label, count in counts.items()
            if count
        ]
