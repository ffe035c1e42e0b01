"""Scores the test set, measures the scores and writes them to a file."""

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganad_tf.atomic_files import replace_file
from ganad_tf.data.images import LabelledImages
from ganad_tf.evaluation.false_alarms import expected_rate
from ganad_tf.evaluation.localisation import localise
from ganad_tf.evaluation.metrics import evaluate
from ganad_tf.scoring import Detector, Scorer
from ganad_tf.scoring.detector import batch_size_for

# The name of our model in reports, beside the models that it is compared with.
OUR_MODEL = "this model"


class Scored(NamedTuple):
    """Scores of a model on the test set, and its threshold from validation images."""

    scores: np.ndarray
    threshold: float


def score_test_set(detector: Detector, test: LabelledImages) -> tuple[dict[str, np.ndarray], float]:
    """Scores the test images.

    Returns:
        `score`, `probability`, `is_anomaly` and `peak`, the largest map value, [N] each; and how
        many images were scored per second.
    """
    began = time.monotonic()
    parts = []
    size = batch_size_for(detector.measurer)
    for start in range(0, len(test), size):
        # Batch by batch, as the maps of all images would not fit into memory.
        images = test.images[start : start + size]
        found = detector.run(images, outputs=("score", "probability", "is_anomaly", "anomaly_map"))
        peak = found.pop("anomaly_map").max(axis=(1, 2))
        parts.append({**found, "peak": peak})
    results = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return results, len(test) / (time.monotonic() - began)


def evaluate_models(
    models: Mapping[str, Scored], detector: Detector, test: LabelledImages, peaks: np.ndarray
) -> dict[str, Any]:
    """Measures our model and the models that it is compared with.

    Args:
        models: name -> its scores and threshold; `OUR_MODEL` is among them.
        detector: our model.
        test: the images that were scored.
        peaks: their largest map values, [N].

    Returns:
        What `evaluate` says of our model; the false alarms to expect; the pixel threshold with the
        share of normal images that have a marked pixel; `pixel_auroc`, `aupro` and `pixel_f1`, None
        where no mask is known; and `baselines`: name -> what `evaluate` says of it.
    """
    results = {
        name: evaluate(model.scores, test.is_anomaly, test.kinds, test.kind_names, model.threshold)
        for name, model in models.items()
    }
    scorer = detector.scorer
    return {
        **results[OUR_MODEL],
        "expected_false_alarm_rate": expected_rate(scorer.normal_scores, scorer.threshold),
        **_marks(scorer, peaks[~test.is_anomaly]),
        **_localisation(detector, test),
        "baselines": {name: result for name, result in results.items() if name != OUR_MODEL},
    }


def better_baselines(metrics: Mapping[str, Any]) -> list[str]:
    """One sentence for each baseline whose test AUROC is above ours.

    Args:
        metrics: of `evaluate_models`.
    """
    ours = metrics["auroc"]
    return [
        f"{name} has the higher test AUROC: {other['auroc']:.4f}, this model {ours:.4f}"
        for name, other in metrics["baselines"].items()
        if ours is not None and other["auroc"] > ours
    ]


def write_scores(path: Path, test: LabelledImages, results: Mapping[str, np.ndarray]) -> None:
    """Writes one row per test image: index, class, label, score, probability, decision, path.

    Args:
        path: the CSV file; the last column is left out if images are not files.
        test: the images.
        results: `score`, `probability` and `is_anomaly`, [N] each.
    """
    with (
        replace_file(path) as temporary,
        # Names on disk need not be UTF-8.
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file)
        columns = ["index", "class", "label", "score", "probability", "is_anomaly"]
        writer.writerow([*columns, "path"] if test.paths else columns)
        for i in range(len(test)):
            writer.writerow(
                [
                    i,
                    test.kind_names[test.kinds[i]],
                    int(test.is_anomaly[i]),
                    f"{results['score'][i]:.7g}",
                    f"{results['probability'][i]:.7g}",
                    int(results["is_anomaly"][i]),
                    *([test.paths[i]] if test.paths else []),
                ]
            )


def _marks(scorer: Scorer, peaks: np.ndarray) -> dict[str, Any]:
    """The pixel threshold and how many normal images, of these peaks, have a marked pixel."""
    names = ("pixel_threshold", "marked_normal_rate", "expected_marked_normal_rate")
    if scorer.pixel_threshold is None:
        return dict.fromkeys(names)
    marked = float(np.mean(peaks > np.float32(scorer.pixel_threshold)))
    expected = expected_rate(scorer.normal_peaks, scorer.pixel_threshold)
    return dict(zip(names, (scorer.pixel_threshold, marked, expected), strict=True))


def _localisation(detector: Detector, test: LabelledImages) -> dict[str, float | None]:
    """How well anomaly maps and masks locate defects; None if no mask is known."""
    if test.masks is None:
        return dict.fromkeys(("pixel_auroc", "aupro", "pixel_f1"))

    def maps_of(images: np.ndarray) -> np.ndarray:
        return detector.run(images, outputs=("anomaly_map",))["anomaly_map"]

    measured = localise(maps_of, test.images, test.masks, detector.scorer.pixel_threshold)
    return {
        "pixel_auroc": measured.pixel_auroc(),
        "aupro": measured.aupro(),
        "pixel_f1": measured.pixel_f1(),
    }
