"""The content of the model card: what the model is, and how far it was measured."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ganad_tf import __version__
from ganad_tf.evaluation.false_alarms import expected_rate
from ganad_tf.settings.names import CROSS_FITTED

from .calibrated_graph import EARLIER, RECALIBRATED
from .limits import CONFIDENCE_OF_CARD, auroc_interval, share_interval

if TYPE_CHECKING:
    from ganad_tf.data.splits import Splits
    from ganad_tf.scoring import Detector, Scorer

    from .parity import Row
    from .quantize import Quantized

FASHION_MNIST = "Fashion-MNIST"
LICENCES = {
    "code": "MIT (ganad_tf)",
    "weights": "trained on the data below, whose licence may bind them",
}
ENCODER_LICENCE = (
    "EfficientNet-Lite0, trained on ImageNet; the published weights are under Apache 2.0, others "
    "(--encoder-weights) under their own terms"
)
DATA_LICENCES = {FASHION_MNIST: "MIT"}
UNKNOWN_LICENCE = "not known to this program"


def describe_model(
    detector: "Detector", splits: "Splits", rows: "Sequence[Row]", int8: "Quantized | None"
) -> dict[str, Any]:
    """The card's content, as plain values for export.json.

    Args:
        detector: that was exported.
        splits: its images; without a fingerprint there was no test set.
        rows: the parity table; the first is Keras, whose figures are given.
        int8: how the int8 model was made, if there is one.
    """
    scorer = detector.scorer
    is_tested = bool(splits.fingerprint)
    encoder = detector.measurer.encoder is not None
    return {
        "normal": splits.normal_name,
        "data": _describe_data(splits) if is_tested else None,
        "figures": _describe_figures(rows[0]) if is_tested else None,
        "threshold": {
            "value": scorer.threshold,
            "int8_value": int8 and int8.threshold,
            "rule": scorer.explanation["threshold"],
            "source": _threshold_source(detector),
            "normal_images": len(scorer.normal_scores),
            "cross_fitted_images": scorer.explanation.get(CROSS_FITTED, 0),
            "expected_false_alarm_rate": expected_rate(scorer.normal_scores, scorer.threshold),
        },
        "pixel_threshold": _describe_marks(scorer, int8) if detector.has_mask else None,
        "corrections": _describe_corrections(scorer),
        "score": {
            "recipe": scorer.explanation["score"],
            "why": scorer.explanation["why"],
            "components": {c.name: c.weight for c in scorer.components},
        },
        "input": {
            "image_shape": list(detector.image_shape),
            "resize": detector.resize,
            "bit_depth": detector.bit_depth,
        },
        "licences": {
            **LICENCES,
            **({"encoder": ENCODER_LICENCE} if encoder else {}),
            "data": DATA_LICENCES.get(_data_name(splits), UNKNOWN_LICENCE)
            if is_tested
            else UNKNOWN_LICENCE,
        },
        "ganad_tf": __version__,
    }


def _threshold_source(detector: "Detector") -> str:
    """Where the normal images come from that both thresholds promise by."""
    ranges = detector.image_ranges or {}
    return "recalibration" if ranges.get("source") == "recalibration" else "validation"


def _describe_corrections(scorer: "Scorer") -> dict[str, Any] | None:
    """What a person corrected after training; None without corrections."""
    record = scorer.explanation.get(RECALIBRATED, {})
    is_earlier = EARLIER in record
    record = record.get(EARLIER, record)
    if "corrections" not in record:
        return None
    counts = record["corrections"]
    is_learnt = record["direction"]["weight"]["new"] > 0
    return {
        # Those of an earlier recalibration are not among the normal images of the thresholds.
        "normal": 0 if is_earlier else counts["normal"],
        "anomaly": counts["anomaly"],
        "learnt": counts["anomaly"] if is_learnt else 0,
        # Records of earlier versions do not say it.
        "of_test_part": counts.get("of_test_part", 0),
    }


def _describe_marks(scorer: "Scorer", int8: "Quantized | None") -> dict[str, Any]:
    """The pixel threshold, which the scorer has, and its promise."""
    assert scorer.pixel_threshold is not None
    return {
        "value": scorer.pixel_threshold,
        "int8_value": int8 and int8.pixel_threshold,
        "rule": scorer.explanation["pixel_threshold"],
        "normal_images": len(scorer.normal_peaks),
        # Where the map shows errors of the generator, training images do not count.
        "cross_fitted_images": scorer.explanation.get(CROSS_FITTED, 0)
        if len(scorer.normal_peaks) == len(scorer.normal_scores)
        else 0,
        "expected_marked_normal_rate": expected_rate(scorer.normal_peaks, scorer.pixel_threshold),
    }


def _data_name(splits: "Splits") -> str:
    # The folder's own name only: its place may tell more than its owner wants to publish.
    return splits.folder.root.name if splits.folder else FASHION_MNIST


def _describe_data(splits: "Splits") -> dict[str, Any]:
    return {
        "name": _data_name(splits),
        "protocol": splits.protocol,
        "fingerprint": splits.fingerprint,
        "parts": splits.summary(),
        "masks_in_training": splits.n_masked,
    }


def _describe_figures(keras: "Row") -> dict[str, Any]:
    """Figures on the test set, each with its interval: (value, low, high)."""
    confusion = keras.confusion
    assert confusion is not None  # only file bytes have none
    alarms = share_interval(confusion["fp"], confusion["fp"] + confusion["tn"])
    found = share_interval(confusion["tp"], confusion["tp"] + confusion["fn"])
    return {
        "confidence": CONFIDENCE_OF_CARD,
        "auroc": auroc_interval(keras.auroc, keras.auroc_error),
        "anomalies_found": found,
        "false_alarm_rate": alarms,
        "confusion": confusion,
    }
