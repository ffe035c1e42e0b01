"""Static int8 quantisation, with the threshold fitted again on validation images."""

import dataclasses
import itertools
import json
import logging
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx

from ganad_tf.data.images import LabelledImages

from .calibrated_graph import (
    RECALIBRATED,
    as_float32,
    set_metadata,
    set_pixel_threshold,
    set_threshold,
)
from .int8_pixels import refit_pixel_threshold
from .keep_float import (
    MAX_SCORE_ERROR,
    MAX_TRIES,
    MIN_OF_EACH_CLASS,
    Agreement,
    keep_float,
)
from .limits import MAX_AUROC_DROP, MAX_DISAGREEMENT, auroc_drop
from .quantizer import Quantizer, evenly_spread, share_equal_constants
from .runtime import Scorer

_LOGGER = logging.getLogger(__name__)

# Ranges are measured on so many training images, and on fewer large ones, which have more places.
CALIBRATION_IMAGES, MIN_CALIBRATION_IMAGES, CALIBRATION_PIXELS = 512, 128, 2**23
# How many validation images a try is measured on; the threshold is fitted on all of them.
MEASURED_IMAGES = 512


@dataclasses.dataclass(frozen=True)
class Quantized:
    """How an int8 model was made; export.json keeps it.

    Args:
        threshold: the int8 model's own.
        kept_float: names of the operators that stay in float32 because the scores would suffer.
        int8_share: share of the multiplications between the first and the last convolution that
            are done in int8.
        tries: how many models were quantised and measured to find that.
        throughout: agreement with the float32 model on validation images if all of these
            operators were in int8.
        chosen: agreement of the model that was written.
        pixel_threshold: the int8 model's own; None if the float32 model has none.
    """

    threshold: float
    kept_float: tuple[str, ...]
    int8_share: float
    tries: int
    throughout: Agreement
    chosen: Agreement
    pixel_threshold: float | None = None


def quantize(
    plain: onnx.ModelProto,
    metadata: dict[str, str],
    train: LabelledImages,
    validation: LabelledImages,
    float_scorer: Scorer,
    path: Path,
    max_auroc_drop: float = MAX_AUROC_DROP,
) -> Quantized:
    """Writes the int8 model.

    QDQ, uint8 activations and int8 weights per channel, ranges from training images. The first
    convolution, the last transposed one and the whole score stay in float32: they are a few per
    cent of the work, and the score is a difference of nearly equal images. So do those operators
    that would cost too much accuracy, see `export.keep_float`. Where no choice of operators is good
    enough on validation images, the best one is written; the test set decides whether it is
    exported.

    Args:
        plain: the converter's graph; is not changed.
        metadata: of the float32 model; thresholds, normal scores and peaks are replaced.
        train: whose images the ranges are taken from.
        validation: on which the operators and the threshold are chosen.
        float_scorer: the float32 model, whose decisions the threshold imitates.
        path: where to write.
        max_auroc_drop: allowed on validation images.
    """
    limits = CALIBRATION_IMAGES, MIN_CALIBRATION_IMAGES, CALIBRATION_PIXELS
    chosen = evenly_spread(train.images, *limits)
    few = np.linspace(0, len(validation) - 1, min(MEASURED_IMAGES, len(validation))).astype(int)
    sample = validation.subset(few)
    float_results = float_scorer.score(sample.images)
    # Asked of the whole part; the sample has fewer images than the threshold rests on.
    others = rests_on_others(float_scorer, validation.is_anomaly)
    _LOGGER.info("int8: measuring ranges on %d training images", len(chosen))
    with tempfile.TemporaryDirectory() as folder:
        quantizer = Quantizer(plain, metadata, train.images[chosen], Path(folder))

        began, tries = time.monotonic(), itertools.count(1)

        def measure(kept: frozenset[int]) -> Agreement:
            number = next(tries)
            if number > 1:
                each = (time.monotonic() - began) / (number - 1)
                left = each * (MAX_TRIES - number + 1)
                _LOGGER.info(
                    "int8: try %d of at most %d, at most %.0f s left", number, MAX_TRIES, left
                )
            scores = Scorer(quantizer.write(kept)).score(sample.images)["score"]
            truth = sample.is_anomaly
            return agreement(scores, float_results, truth, float_scorer, others, max_auroc_drop)

        found = keep_float(measure, quantizer.work, MAX_TRIES)
        quantized = onnx.load(quantizer.write(found.kept))
    share_equal_constants(quantized)
    onnx.save(quantized, path)
    scores, before = (s.score(validation.images) for s in (Scorer(path), float_scorer))
    truth = validation.is_anomaly
    threshold = refit_threshold(scores["score"], before, truth, float_scorer, others)
    set_threshold(quantized, threshold)
    normal_scores = _normal_scores(scores["score"], before, truth, float_scorer, others)
    set_metadata(
        quantized,
        {"threshold": as_float32(threshold), "normal_scores": json.dumps(normal_scores.tolist())},
    )
    marks = refit_pixel_threshold(Scorer(path), float_scorer, validation)
    if marks is not None:
        set_pixel_threshold(quantized, marks.value)
        peaks = json.dumps(marks.normal_peaks)
        set_metadata(quantized, {"pixel_threshold": as_float32(marks.value), "normal_peaks": peaks})
    onnx.checker.check_model(quantized)
    onnx.save(quantized, path)
    return Quantized(
        float(np.float32(threshold)),  # as the file has it
        tuple(quantizer.operators(found.kept)),
        1 - sum(quantizer.work[group] for group in found.kept) / sum(quantizer.work),
        found.tries,
        found.first,
        found.chosen,
        None if marks is None else marks.value,
    )


def agreement(
    scores: np.ndarray,
    float_results: dict[str, np.ndarray],
    is_anomaly: np.ndarray,
    float_scorer: Scorer,
    others: bool,
    max_auroc_drop: float = MAX_AUROC_DROP,
) -> Agreement:
    """How int8 scores agree with float32 ones on the same images.

    Args:
        scores: int8 scores of validation images, or of some of them, [N].
        float_results: `score` and `is_anomaly` of the float32 model, [N].
        is_anomaly: bool [N], the labels; at least one normal image.
        float_scorer: the float32 model, with its threshold and normal scores.
        others: what `rests_on_others` says of the whole validation part.
        max_auroc_drop: allowed.
    """
    before = float_results["score"].astype(np.float64)
    change = (scores - before)[~is_anomaly]
    spread = max(float(before[~is_anomaly].std()), 1e-12)
    threshold = refit_threshold(scores, float_results, is_anomaly, float_scorer, others)
    differing = int(((scores > threshold) != float_results["is_anomaly"]).sum())
    drop = 0.0
    fewer = min(is_anomaly.sum(), (~is_anomaly).sum())
    if fewer > 1:
        drop = auroc_drop(is_anomaly, before, scores).lower_bound()
    return Agreement(
        float(change.std()) / spread,
        differing / len(scores),
        drop,
        MAX_SCORE_ERROR if fewer < MIN_OF_EACH_CLASS else None,
        # One decision is all that few images can show.
        max(MAX_DISAGREEMENT, 1 / len(scores)),
        max_auroc_drop,
    )


def refit_threshold(
    scores: np.ndarray,
    float_results: dict[str, np.ndarray],
    is_anomaly: np.ndarray,
    float_scorer: Scorer,
    others: bool,
) -> float:
    """The int8 threshold that means what the float32 threshold means.

    A conformal threshold is one of the normal scores, and its rank carries the promise: the same
    rank is taken. Any other, and that of a sample, in which ranks say little, is placed where the
    int8 model makes the float32 model's decisions, as nearly as it can. Where the threshold rests
    on other images, it may lie far from the scores of these; it moves by as much as scores
    typically do.

    Args:
        scores: int8 scores of the validation images, or of some of them, [N].
        float_results: what the float32 scorer says of them.
        is_anomaly: bool [N].
        float_scorer: with its threshold and normal scores.
        others: what `rests_on_others` says of the whole validation part.
    """
    if others:
        return float_scorer.threshold + _typical_change(scores, float_results, is_anomaly)
    normal = np.sort(scores[~is_anomaly])
    float_normal = np.asarray(float_scorer.normal_scores, np.float32)
    rank = np.flatnonzero(np.equal(float_normal, np.float32(float_scorer.threshold)))
    if len(rank) and len(normal) == len(float_normal):
        return float(normal[rank[0]])
    order = np.argsort(scores)
    ordered, decided = scores[order].astype(np.float64), float_results["is_anomaly"][order]
    # errors[k]: how many decisions differ if the k lowest scores are called normal.
    missed = np.concatenate([[0], np.cumsum(decided)])
    false = np.concatenate([np.cumsum(~decided[::-1])[::-1], [0]])
    edges = np.concatenate([[ordered[0] - 1], ordered, [ordered[-1] + 1]])
    middles = (edges[:-1] + edges[1:]) / 2
    errors = missed + false
    best = np.flatnonzero(errors == errors.min())
    return float(middles[best[len(best) // 2]])


def _normal_scores(
    scores: np.ndarray,
    float_results: dict[str, np.ndarray],
    is_anomaly: np.ndarray,
    float_scorer: Scorer,
    others: bool,
) -> np.ndarray:
    """The sorted normal scores that go with the threshold; arguments as in `refit_threshold`."""
    if others:
        change = _typical_change(scores, float_results, is_anomaly)
        return (np.asarray(float_scorer.normal_scores) + change).astype(np.float32)
    return np.sort(scores[~is_anomaly])


def rests_on_others(float_scorer: Scorer, is_anomaly: np.ndarray) -> bool:
    """Whether the threshold rests on other images than the validation part's normal ones.

    So it does after a recalibration, and where training images count as well.

    Args:
        float_scorer: with its normal scores.
        is_anomaly: bool [N], of the whole validation part.
    """
    count = int(np.count_nonzero(~is_anomaly))
    return RECALIBRATED in float_scorer.metadata or len(float_scorer.normal_scores) != count


def _typical_change(
    scores: np.ndarray, float_results: dict[str, np.ndarray], is_anomaly: np.ndarray
) -> float:
    """The median change of a normal image's score by int8."""
    return float(np.median((scores.astype(np.float64) - float_results["score"])[~is_anomaly]))
