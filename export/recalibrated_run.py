"""A finished run that is recalibrated, before its next export. Needs TensorFlow."""

import dataclasses
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ganad_tf.atomic_files import read_json, replace_dir, write_json
from ganad_tf.calibration.map_peaks import MapPeaks
from ganad_tf.run_folder import DETECTOR
from ganad_tf.scoring import Scorer
from ganad_tf.scoring.detector import Detector, batch_size_for
from ganad_tf.scoring.detector_files import ENCODER_ARRAYS, RANGES, SCORER
from ganad_tf.settings.names import CROSS_FITTED, MAX_ERROR

from .calibrated_graph import EARLIER, RECALIBRATED
from .recalibration import Before, Fitted

# What training fitted, as it was before the first recalibration. A file that is not in it was not
# there.
FROM_TRAINING = "from_training"
# Files of the detector that a recalibration may change.
CHANGING = (SCORER, RANGES, ENCODER_ARRAYS)
# Of scorer.json, besides the scorer's own values; formats differ in which they have.
_OF_IMAGES = ("image_shape", "resize", "fit", "bit_depth", "max_pixels")


class Run:
    """The detector of a finished run.

    Args:
        folder: the run folder, locked by this process.
        max_pixels: image files of more pixels are refused (default: the limit in training).

    Raises:
        ArtefactError: if the detector is missing or damaged.
    """

    def __init__(self, folder: Path, max_pixels: int | None = None):
        self.folder = folder / DETECTOR
        self.detector = detector = Detector.load(self.folder)
        height, width, channels = detector.image_shape
        self.image_shape, self.resize = (height, width, channels), detector.resize
        self.bit_depth = detector.bit_depth
        self.max_pixels = max_pixels or detector.max_pixels
        scorer = detector.scorer
        self.before = Before(
            hashlib.sha256((self.folder / SCORER).read_bytes()).hexdigest(),
            scorer.threshold,
            {"slope": scorer.slope, "intercept": scorer.intercept},
            scorer.pixel_threshold,
        )

    def score(self, images: np.ndarray) -> np.ndarray:
        """Scores, float32 [N]."""
        return self.detector.score_samples(images)

    def maps(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Kind of map -> float32 [N, h, w], before it is scaled."""
        measurer, kinds = self.detector.measurer, self.detector.scorer.map_scales
        size = batch_size_for(measurer)
        parts = [
            measurer(tf.constant(images[start : start + size]), kinds).maps
            for start in range(0, len(images), size)
        ]
        return {
            kind: np.concatenate([part[kind].numpy() for part in parts])
            for kind in parts[0].keys() & kinds.keys()
        }

    def peaks(self) -> MapPeaks:
        """What gathers these maps."""
        scorer = self.detector.scorer
        return MapPeaks({kind: kind != MAX_ERROR for kind in scorer.map_scales}, scorer.map_kinds())

    def write(self, fitted: Fitted) -> None:
        """Replaces scorer.json and image_ranges.json, both or none.

        The files that training wrote are kept in `detector/from_training`.
        """
        pixel, scorer = fitted.pixel_threshold, self.detector.scorer
        record = {**_earlier_corrections(scorer), **fitted.record}
        if pixel is not None:
            scorer = dataclasses.replace(
                scorer,
                pixel_threshold=pixel.value,
                normal_peaks=fitted.normal_peaks,
                explanation={**scorer.explanation, "pixel_threshold": pixel.rule},
            )
        scorer = dataclasses.replace(
            scorer,
            threshold=fitted.threshold.value,
            slope=fitted.slope,
            intercept=fitted.intercept,
            map_scales={**scorer.map_scales, **fitted.map_scales},
            normal_scores=tuple(fitted.normal_scores),
            explanation={
                **scorer.explanation,
                "threshold": fitted.threshold.rule,
                "normal_images": fitted.record["normal_images"],
                "anomalous_images": fitted.record["anomalous_images"],
                CROSS_FITTED: 0,  # none of the new images is a training image
                RECALIBRATED: record,
            },
        )
        self.replace(scorer, fitted.ranges)

    def replace(self, scorer: Scorer, ranges: Mapping[str, Any] | None) -> None:
        """Replaces the files of the detector that have changed, all or none.

        Args:
            scorer: the new one.
            ranges: the new image_ranges.json; None to leave it.
        """
        values = read_json(self.folder / SCORER)
        of_images = {name: values[name] for name in _OF_IMAGES if name in values}
        with replace_dir(self.folder) as temporary:
            shutil.copytree(self.folder, temporary, dirs_exist_ok=True)
            if not (temporary / FROM_TRAINING).exists():
                (temporary / FROM_TRAINING).mkdir()
                for name in CHANGING:
                    if (temporary / name).exists():
                        shutil.copy2(temporary / name, temporary / FROM_TRAINING / name)
            write_json(temporary / SCORER, {**scorer.to_dict(), **of_images})
            if ranges is not None:
                write_json(temporary / RANGES, ranges)
            self.write_others(temporary)

    def write_others(self, folder: Path) -> None:
        """Writes what else has changed into the new folder of the detector: nothing."""


def _earlier_corrections(scorer: Scorer) -> dict[str, Any]:
    """What an earlier record says of corrections: they stay in the score."""
    record = scorer.explanation.get(RECALIBRATED, {})
    if "direction" not in record:
        return {EARLIER: record[EARLIER]} if EARLIER in record else {}
    return {EARLIER: {name: record[name] for name in ("date", "corrections", "direction")}}
