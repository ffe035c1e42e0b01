"""int8's limits: what a test set of a given size is evidence for."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from export.limits import AurocDrop, auroc_drop, disagreement_bound, too_many_differ


@pytest.mark.parametrize(
    ("differing", "count", "bound"),
    # scipy.stats.binomtest(k, n, alternative="greater").proportion_ci(0.95, "exact").low
    [(0, 50, 0.0), (1, 100, 0.000513), (9, 1082, 0.004348), (90, 10_000, 0.007502)],
)
def test_the_bound_is_the_exact_binomial_one(differing, count, bound):
    assert disagreement_bound(differing, count) == pytest.approx(bound, abs=2e-6)


@pytest.mark.parametrize(
    ("differing", "count", "too_many"),
    [
        (9, 1082, False),  # 0.83 %, but as likely by chance
        (90, 10_000, True),  # 0.90 %, not by chance
        (10, 1000, True),
        (1, 5, False),  # one is all that a small test set can show
        (2, 20, True),
        (50, 10_000, False),  # 0.5 % itself is allowed
    ],
)
def test_the_same_share_is_other_evidence_in_other_numbers(differing, count, too_many):
    assert too_many_differ(differing, count) == too_many


@pytest.fixture(scope="module")
def scored():
    """Labels, scores, and the scores with noise of a fifth of their spread."""

    def draw(seed, count=900):
        rng = np.random.default_rng(seed)
        is_anomaly = np.arange(count) % 3 == 0
        scores = rng.normal(size=count) + is_anomaly
        return is_anomaly, scores, scores + rng.normal(0, 0.2, count)

    return draw


def test_the_drop_is_the_difference_of_the_aurocs(scored):
    is_anomaly, before, after = scored(0)
    expected = roc_auc_score(is_anomaly, before) - roc_auc_score(is_anomaly, after)
    assert auroc_drop(is_anomaly, before, after).value == pytest.approx(expected, abs=1e-12)


def test_ties_count_half():
    is_anomaly = np.array([True, False, True, False])
    drop = auroc_drop(is_anomaly, np.array([2.0, 0.0, 3.0, 1.0]), np.zeros(4))
    assert drop.value == pytest.approx(0.5)


def test_the_standard_error_is_how_far_drops_scatter(scored):
    drops = [auroc_drop(*scored(seed)) for seed in range(200)]
    scatter = np.std([drop.value for drop in drops])
    assert np.mean([drop.standard_error for drop in drops]) == pytest.approx(scatter, rel=0.15)


def test_equal_scores_have_no_drop_and_no_error(scored):
    is_anomaly, before, _ = scored(0)
    assert auroc_drop(is_anomaly, before, 2 * before + 1) == AurocDrop(0.0, 0.0)


def test_a_single_anomaly_is_no_evidence():
    drop = auroc_drop(np.array([True, False, False]), np.array([2, 0, 1.0]), np.array([0, 1, 2.0]))
    assert drop.value == 1.0
    assert drop.lower_bound() == -np.inf
