"""Scores images through every exported format and compares each with the detector in Keras."""

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .format_scorers import (
    FILE_BYTES,
    MARKS,
    SAVED_MODEL,
    SCORES,
    FormatScorer,
    Scored,
    cold_starts,
    format_scorers,
)
from .limits import (
    CONFIDENCE,
    MAX_AUROC_DROP,
    MAX_DISAGREEMENT,
    AurocDrop,
    auroc_drop,
    auroc_error,
    disagreement_bound,
    too_many_differ,
)
from .plain_path import plain_path

if TYPE_CHECKING:
    from ganad_tf.data.image_view import ImageView
    from ganad_tf.scoring import Detector

# float32 formats: the same numbers up to the order of additions.
# 1e-5 holds on Fashion-MNIST. Where normal images are few and nearly equal, whitening magnifies
# the rounding of float32, and an export should not fail for a fifth digit; decisions must agree.
MAX_SCORE_DIFFERENCE = 1e-4
# OpenVINO approximates logarithms and exponentials; it checks that the files mean what we think.
MAX_OPENVINO_DIFFERENCE = 1e-3

# Every runtime rounds maps in its own way. A pixel whose map value lies within this share of the
# pixel threshold may be marked otherwise.
MAX_MAP_DIFFERENCE = 1e-3
# Masks are compared on so many images.
MASKED = 64
# The SavedModel holds the graph that Keras runs, so some images tell whether it was written and is
# read as it should be.
SAME_GRAPH = 256
# What the formats are tried on before their speed is measured.
WARM_UP = 16


@dataclasses.dataclass(frozen=True)
class Row:
    """How one format compares with the detector itself, in Keras.

    Args:
        name: of the format.
        images: how many were compared.
        tolerance: the allowed score difference; None for int8, which only has to be as good, and
            is held to the limits of `export.limits` instead.
        score_difference: the greatest.
        differing: how many decisions differ.
        auroc: on the test set; None if it holds one class only, or if not all of it was compared.
        per_second: images scored in a second.
        cold_start: seconds from process start to the first score; None where not measured.
        auroc_drop_error: standard error of the AUROC's difference from Keras's; None without an
            AUROC, or with fewer than two images of either class.
        auroc_error: standard error of the AUROC itself; None likewise.
        confusion: `tn`, `fp`, `fn` and `tp` of its decisions; None unless all images were
            compared.
        differing_pixels: how many pixels of up to `MASKED` images are marked otherwise, though
            their map value is not near the pixel threshold (`MAX_MAP_DIFFERENCE`). None for file
            bytes, int8 and OpenVINO, and without a pixel threshold.
    """

    name: str
    images: int
    tolerance: float | None
    score_difference: float
    differing: int
    auroc: float | None
    per_second: float
    cold_start: float | None = None
    auroc_drop_error: float | None = None
    auroc_error: float | None = None
    confusion: dict[str, int] | None = None
    differing_pixels: int | None = None


def compare(
    detector: "Detector",
    images: "np.ndarray | ImageView",
    is_anomaly: np.ndarray,
    folder: Path,
    files: dict[str, str],
    time_starts: bool = True,
) -> list[Row]:
    """Scores images through Keras and each exported file.

    Args:
        detector: of the run.
        images: uint8 [N, h, w, C]; they are read into memory.
        is_anomaly: bool [N].
        folder: where the exported files lie.
        files: path within `folder` of each of `saved_model`, `onnx` and `int8` that is there.
        time_starts: also start a process for each format, which takes seconds for TensorFlow.

    Returns:
        A row for each format; the first is Keras, the reference. The SavedModel is compared on at
        most `SAME_GRAPH` images, evenly taken, all others on every image.
    """
    pixels = np.asarray(images[np.arange(len(images))])
    with plain_path(folder) as plain:
        starts = cold_starts(plain, files, pixels[0]) if time_starts else {}
        few = np.linspace(0, len(images) - 1, min(SAME_GRAPH, len(images))).astype(int)
        rows: list[Row] = []
        reference = marked = None
        some = pixels[few[:: max(1, len(few) // MASKED)]][:MASKED]
        for name, scorer in format_scorers(detector, plain, files).items():
            which = few if name in (SAVED_MODEL, FILE_BYTES) else slice(None)
            inputs = _as_png(pixels[which]) if name == FILE_BYTES else pixels[which]
            scored, per_second = _timed(scorer, inputs)
            reference = reference or scored  # Keras comes first
            labels = is_anomaly if len(inputs) == len(images) else None
            expected = (reference[0][which], reference[1][which])
            row = _row(name, expected, scored, labels, per_second, starts.get(name))
            if detector.has_mask and name != FILE_BYTES and row.tolerance == MAX_SCORE_DIFFERENCE:
                masks = scorer(some, MARKS)
                marked = marked or masks
                differing = _differing_pixels(detector.scorer.pixel_threshold, marked, masks)
                row = dataclasses.replace(row, differing_pixels=differing)
            rows.append(row)
    return rows


def _row(
    name: str,
    reference: Scored,
    scored: Scored,
    is_anomaly: np.ndarray | None,
    per_second: float,
    cold_start: float | None = None,
) -> Row:
    auroc = error = own_error = None
    if is_anomaly is not None and is_anomaly.any() and not is_anomaly.all():
        auroc = _auroc(is_anomaly, scored[0])
        error = _finite(auroc_drop(is_anomaly, reference[0], scored[0]).standard_error)
        own_error = _finite(auroc_error(is_anomaly, scored[0]))
    return Row(
        name,
        len(scored[0]),
        _tolerance(name),
        float(np.abs(scored[0] - reference[0]).max()),
        int((scored[1] != reference[1]).sum()),
        auroc,
        per_second,
        cold_start,
        error,
        own_error,
        None if is_anomaly is None else _confusion(is_anomaly, scored[1]),
    )


def _differing_pixels(threshold: float | None, reference: Scored, marked: Scored) -> int:
    """How many pixels are marked otherwise than in Keras, far from the pixel threshold."""
    assert threshold is not None  # there is a mask
    is_far = np.abs(reference[0] - threshold) > MAX_MAP_DIFFERENCE * max(1.0, abs(threshold))
    return int(np.count_nonzero((reference[1] != marked[1]) & is_far))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _confusion(is_anomaly: np.ndarray, decisions: np.ndarray) -> dict[str, int]:
    counted = {
        "tn": ~is_anomaly & ~decisions,
        "fp": ~is_anomaly & decisions,
        "fn": is_anomaly & ~decisions,
        "tp": is_anomaly & decisions,
    }
    return {name: int(part.sum()) for name, part in counted.items()}


def failures(rows: list[Row], max_auroc_drop: float = MAX_AUROC_DROP) -> list[str]:
    """What is wrong, one sentence each; empty if all formats agree.

    float32 formats must give Keras's decisions and, up to rounding, its scores. int8 must keep
    within the limits of `export.limits`, as far as this test set can tell.

    Args:
        rows: of `compare`; the first is the reference.
        max_auroc_drop: allowed to int8.
    """
    found = []
    for row in rows[1:]:
        exact = row.tolerance == MAX_SCORE_DIFFERENCE
        if row.tolerance is not None and not row.score_difference <= row.tolerance:
            found.append(
                f"{row.name}: expected scores within {row.tolerance:g} of Keras. "
                f"Received: a difference of {row.score_difference:.2g}"
            )
        if exact and row.differing:
            found.append(
                f"{row.name}: expected Keras's decisions. "
                f"Received: {row.differing} of {row.images} differ"
            )
        if row.differing_pixels:
            found.append(
                f"{row.name}: expected Keras's masks. "
                f"Received: {row.differing_pixels} pixels that differ"
            )
        if not exact and too_many_differ(row.differing, row.images):
            bound = disagreement_bound(row.differing, row.images)
            found.append(
                f"{row.name}: expected at most {MAX_DISAGREEMENT:.1%} of Keras's decisions to "
                f"differ. Received: {row.differing} of {row.images}, at least {bound:.2%} with "
                f"{CONFIDENCE:.0%} confidence"
            )
        if row.auroc is not None and rows[0].auroc is not None:
            error = np.inf if row.auroc_drop_error is None else row.auroc_drop_error
            drop = AurocDrop(rows[0].auroc - row.auroc, error)
            if drop.lower_bound() > max_auroc_drop:
                found.append(
                    f"{row.name}: expected an AUROC at most {max_auroc_drop:g} below "
                    f"{rows[0].auroc:.4f}. Received: {row.auroc:.4f}, at least "
                    f"{drop.lower_bound():.4f} below with {CONFIDENCE:.0%} confidence "
                    "(--max-auroc-drop allows more)"
                )
    return found


def table(rows: list[Row]) -> str:
    """The comparison as text."""
    lines = [
        f"{'format':24s}{'score diff':>12s}{'decisions':>11s}{'AUROC':>9s}{'images/s':>10s}"
        f"{'cold start':>12s}"
    ]
    for row in rows:
        auroc = "-" if row.auroc is None else f"{row.auroc:.5f}"
        cold = "-" if row.cold_start is None else f"{row.cold_start:.2f} s"
        lines.append(
            f"{row.name:24s}{row.score_difference:12.1e}{row.differing:11d}{auroc:>9s}"
            f"{row.per_second:10,.0f}{cold:>12s}"
        )
    return "\n".join(lines)


def _tolerance(name: str) -> float | None:
    if "int8" in name:
        return None
    return MAX_OPENVINO_DIFFERENCE if "OpenVINO" in name else MAX_SCORE_DIFFERENCE


def _timed(scorer: FormatScorer, inputs: np.ndarray) -> tuple[Scored, float]:
    """The scores, and how many images were scored in a second."""
    scorer(inputs[:WARM_UP], SCORES)  # the first call traces or allocates
    start = time.perf_counter()
    scored = scorer(inputs, SCORES)
    return scored, len(inputs) / (time.perf_counter() - start)


def _auroc(is_anomaly: np.ndarray, scores: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(is_anomaly, scores))


def _as_png(images: np.ndarray) -> np.ndarray:
    from .saved_model import png_bytes

    return np.array([png_bytes(image) for image in images], dtype=object)
