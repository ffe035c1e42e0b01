import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganad_tf.errors import DataError
from ganad_tf.evaluation.metrics import evaluate

# A busy machine may take its time over one example.
no_deadline = settings(max_examples=50, deadline=None)
# Few distinct values, so that ties are common.
scored_images = st.lists(
    st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=40
).filter(lambda rows: len({is_anomaly for _, is_anomaly in rows}) == 2)


def evaluate_rows(rows, threshold=0.0, transform=float):
    scores = [transform(score) for score, _ in rows]
    truth = [is_anomaly for _, is_anomaly in rows]
    return evaluate(scores, truth, [int(t) for t in truth], ("good", "bad"), threshold)


def ranking_probability(normal, anomalous):
    """P(an anomaly scores higher than a normal image), a tie counting half."""
    difference = np.subtract.outer(anomalous, normal)
    return np.mean((difference > 0) + 0.5 * (difference == 0))


@no_deadline
@given(scored_images)
def test_auroc_is_the_probability_of_ranking_a_pair_rightly_with_ties_counted_half(rows):
    normal = np.array([score for score, is_anomaly in rows if not is_anomaly])
    anomalous = np.array([score for score, is_anomaly in rows if is_anomaly])
    assert evaluate_rows(rows)["auroc"] == pytest.approx(ranking_probability(normal, anomalous))


@no_deadline
@given(scored_images)
def test_a_monotone_transform_of_the_scores_changes_no_area(rows):
    before, after = evaluate_rows(rows), evaluate_rows(rows, transform=lambda s: np.exp(s) * 3 - 7)
    for key in ("auroc", "average_precision", "fpr_at_95_tpr"):
        assert after[key] == pytest.approx(before[key])


@no_deadline
@given(scored_images, st.floats(-6, 6))
def test_the_confusion_matrix_counts_every_image_once(rows, threshold):
    metrics = evaluate_rows(rows, threshold)
    cells = metrics["confusion"]
    assert sum(cells.values()) == len(rows)
    assert cells["tn"] + cells["fp"] == metrics["n_normal"]
    assert cells["fn"] + cells["tp"] == metrics["n_anomaly"]


@no_deadline
@given(scored_images)
def test_fpr_at_95_tpr_is_the_least_false_alarm_rate_that_finds_95_percent(rows):
    scores = np.array([score for score, _ in rows])
    truth = np.array([is_anomaly for _, is_anomaly in rows])
    by_hand = min(
        np.mean(scores[~truth] >= t) for t in scores if np.mean(scores[truth] >= t) >= 0.95
    )
    assert evaluate_rows(rows)["fpr_at_95_tpr"] == pytest.approx(by_hand)


def test_a_small_case_agrees_with_pencil_and_paper():
    metrics = evaluate(
        scores=[0.1, 0.4, 0.6, 0.5, 0.8, 0.9],
        is_anomaly=[0, 0, 0, 1, 1, 1],
        kinds=[0, 0, 0, 1, 2, 2],
        kind_names=("good", "scratch", "hole"),
        threshold=0.5,
    )
    # 0.5 is not greater than the threshold: the scratch is missed.
    assert metrics["confusion"] == {"tn": 2, "fp": 1, "fn": 1, "tp": 2}
    assert metrics["precision"] == metrics["recall"] == metrics["f1"] == pytest.approx(2 / 3)
    assert metrics["false_alarm_rate"] == pytest.approx(1 / 3)
    assert metrics["auroc"] == pytest.approx(8 / 9)
    # In order of score: right, right, wrong, right.
    assert metrics["average_precision"] == pytest.approx((1 / 1 + 2 / 2 + 3 / 4) / 3)
    assert metrics["fpr_at_95_tpr"] == pytest.approx(1 / 3)
    assert metrics["auroc_by_kind"] == {"scratch": pytest.approx(2 / 3), "hole": 1.0}
    assert (metrics["threshold"], metrics["n_normal"], metrics["n_anomaly"]) == (0.5, 3, 3)


def test_the_result_is_json():
    metrics = evaluate(
        np.array([0.1, 0.2], np.float32), np.array([False, True]), np.array([0, 1]), "ab", 0.15
    )
    assert json.loads(json.dumps(metrics)) == metrics


def test_float32_scores_are_compared_in_float32_as_the_exported_graph_does():
    scores = np.array([0.1, 0.1], np.float32)  # slightly more than the float64 0.1
    metrics = evaluate(scores, [0, 1], [0, 1], ("good", "bad"), np.float64(0.1))
    assert metrics["confusion"]["tp"] == 0


def test_no_alarm_at_all_means_zero_precision_not_an_error():
    metrics = evaluate([1.0, 2.0], [0, 1], [0, 1], ("good", "bad"), threshold=9)
    assert (metrics["precision"], metrics["recall"], metrics["f1"]) == (0, 0, 0)


def test_without_anomalies_false_alarms_are_all_that_is_known():
    metrics = evaluate([1.0, 2.0, 3.0], [0, 0, 0], [0, 0, 0], ("good",), threshold=2.5)
    assert metrics["false_alarm_rate"] == pytest.approx(1 / 3)
    assert metrics["confusion"] == {"tn": 2, "fp": 1, "fn": 0, "tp": 0}
    unknown = {name for name, value in metrics.items() if value is None}
    assert unknown == {"auroc", "average_precision", "fpr_at_95_tpr", "precision", "recall", "f1"}
    assert metrics["auroc_by_kind"] == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"is_anomaly": [1, 1, 1]}, "expected normal images. Received: 3 anomalies alone"),
        ({"scores": [1, np.nan, np.inf]}, "finite numbers. Received: 2 of 3"),
        ({"scores": [1, 2]}, r"one length. Received: shapes \(2,\)"),
        ({"scores": [[1], [2], [3]]}, r"one length. Received: shapes \(3, 1\)"),
        ({"kinds": [0, 1, 2]}, "from 0 to 1. Received: 0 to 2"),
        ({"threshold": np.inf}, "threshold: expected a finite number"),
        ({"scores": [], "is_anomaly": [], "kinds": []}, "expected normal images. Received: 0"),
    ],
)
def test_unusable_input_is_named(changes, message):
    arguments = {
        "scores": [1, 2, 3],
        "is_anomaly": [0, 1, 1],
        "kinds": [0, 1, 1],
        "kind_names": ("good", "bad"),
        "threshold": 1.5,
    }
    with pytest.raises(DataError, match=message):
        evaluate(**(arguments | changes))
