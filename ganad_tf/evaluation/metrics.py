"""How well scores separate anomalies from normal images, as plain numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score, roc_curve

from ganad_tf.errors import DataError


def evaluate(
    scores: ArrayLike,
    is_anomaly: ArrayLike,
    kinds: ArrayLike,
    kind_names: Sequence[str],
    threshold: float,
) -> dict[str, Any]:
    """Measures raw scores against the truth. An anomaly is the positive class throughout.

    Without any anomaly, only false alarms can be measured; all other results are None.

    The areas (`auroc`, `average_precision`, `auroc_by_kind`) come from the raw scores and do not
    depend on the threshold; `confusion` and all rates derived from it do.

    Args:
        scores: anomaly scores [N], any scale; higher means more anomalous.
        is_anomaly: the truth [N], bool or 0/1.
        kinds: index [N] into `kind_names`.
        kind_names: names of all kinds, normal ones included.
        threshold: an image is called an anomaly if its score is greater than this.

    Returns:
        A dict ready for JSON: `auroc`, `average_precision`, `fpr_at_95_tpr`, `threshold`,
        `confusion` {tn, fp, fn, tp}, `precision`, `recall`, `f1`, `false_alarm_rate`,
        `auroc_by_kind` {name: that kind against all normal images}, `n_normal`, `n_anomaly`.
        All rates are in [0, 1]; a ratio of nothing (precision without any alarm) is 0.

    Raises:
        DataError: if lengths differ, a score or the threshold is not finite, or no image is normal.
    """
    scores, is_anomaly, kinds = _checked(scores, is_anomaly, kinds, len(kind_names))
    threshold = float(threshold)
    if not np.isfinite(threshold):
        raise DataError(f"threshold: expected a finite number. Received: {threshold}")

    # A plain float, so that scores are compared in their own dtype, as in the exported graph.
    tn, fp, fn, tp = confusion_matrix(is_anomaly, scores > threshold, labels=[False, True]).ravel()
    return {
        **_of_anomalies(scores, is_anomaly),
        "threshold": threshold,
        "confusion": {"tn": int(tn), "fp": int(fp), "fn": int(fn), "tp": int(tp)},
        **_of_alarms(int(fp), int(fn), int(tp)),
        "false_alarm_rate": _ratio(fp, fp + tn),
        "auroc_by_kind": {
            kind_names[kind]: _auroc_against_normals(scores, is_anomaly, kinds == kind)
            for kind in np.unique(kinds[is_anomaly])
        },
        "n_normal": int(tn + fp),
        "n_anomaly": int(fn + tp),
    }


def _of_anomalies(scores: np.ndarray, is_anomaly: np.ndarray) -> dict[str, float | None]:
    """Results that do not depend on the threshold."""
    if not is_anomaly.any():
        return dict.fromkeys(("auroc", "average_precision", "fpr_at_95_tpr"))
    return {
        "auroc": float(roc_auc_score(is_anomaly, scores)),
        "average_precision": float(average_precision_score(is_anomaly, scores)),
        "fpr_at_95_tpr": _false_alarms_at_recall(is_anomaly, scores, 0.95),
    }


def _of_alarms(fp: int, fn: int, tp: int) -> dict[str, float | None]:
    """Results at the threshold that need anomalies."""
    if not tp + fn:
        return dict.fromkeys(("precision", "recall", "f1"))
    return {
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
    }


def _checked(
    scores: ArrayLike, is_anomaly: ArrayLike, kinds: ArrayLike, n_kinds: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three arrays, once they are known to describe the same images."""
    scores, kinds = np.asarray(scores), np.asarray(kinds)
    is_anomaly = np.asarray(is_anomaly).astype(bool)
    if scores.ndim != 1 or not scores.shape == is_anomaly.shape == kinds.shape:
        raise DataError(
            "scores, is_anomaly, kinds: expected three lists of one length. "
            f"Received: shapes {scores.shape}, {is_anomaly.shape}, {kinds.shape}"
        )
    bad = int(np.count_nonzero(~np.isfinite(scores)))
    if bad:
        raise DataError(
            f"scores: expected finite numbers. Received: {bad} of {len(scores)} NaN or infinite"
        )
    if is_anomaly.all():
        raise DataError(
            f"is_anomaly: expected normal images. Received: {len(is_anomaly)} anomalies alone"
        )
    if kinds.min() < 0 or kinds.max() >= n_kinds:
        raise DataError(
            f"kinds: expected indices from 0 to {n_kinds - 1}. "
            f"Received: {kinds.min()} to {kinds.max()}"
        )
    return scores, is_anomaly, kinds


def _false_alarms_at_recall(is_anomaly: np.ndarray, scores: np.ndarray, recall: float) -> float:
    """The lowest false-alarm rate of any threshold that finds `recall` of the anomalies."""
    # The point that is looked for may be one that `drop_intermediate` would drop.
    fpr, tpr, _ = roc_curve(is_anomaly, scores, drop_intermediate=False)
    return float(fpr[np.argmax(tpr >= recall)])


def _auroc_against_normals(
    scores: np.ndarray, is_anomaly: np.ndarray, of_kind: np.ndarray
) -> float:
    chosen = ~is_anomaly | of_kind
    return float(roc_auc_score(is_anomaly[chosen], scores[chosen]))


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else 0.0
