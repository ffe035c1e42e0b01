import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from export import runtime
from ganad_tf.calibration.thresholds import (
    best_f1_threshold,
    can_promise,
    choose_pixel_threshold,
    choose_threshold,
    conformal_threshold,
    lowest_short_rate,
)
from ganad_tf.errors import UsageError

scores_and_truth = st.lists(
    st.tuples(st.floats(-5, 5, width=32), st.booleans()), min_size=2, max_size=30
).filter(lambda rows: len({truth for _, truth in rows}) == 2)


@given(scores_and_truth)
def test_no_other_threshold_has_a_better_f1(rows):
    scores = np.array([score for score, _ in rows])
    truth = np.array([is_anomaly for _, is_anomaly in rows])
    found = f1_score(truth, scores > best_f1_threshold(scores, truth), zero_division=0)
    for cut in [*scores, scores.min() - 1]:
        assert found >= f1_score(truth, scores > cut, zero_division=0) - 1e-9


def test_a_threshold_below_all_scores_is_below_them_in_float32_too():
    """Exported graphs compare scores in float32, with rounding of their own."""
    scores = np.linspace(1, 2, 22)
    truth = np.arange(22) >= 2
    truth[0] = True
    truth[20] = False
    threshold = best_f1_threshold(scores, truth)
    assert (scores.astype(np.float32) * np.float32(1 - 1e-6) > np.float32(threshold)).all()


def test_the_conformal_threshold_is_the_order_statistic_of_the_theorem():
    assert conformal_threshold(np.arange(99.0), 0.1) == 89.0  # k = 100 * 0.9 = 90th smallest
    assert conformal_threshold(np.arange(99.0), 0.01) == 98.0


def test_a_rate_that_so_few_images_cannot_promise_is_refused():
    with pytest.raises(UsageError, match=r"at least 0\.01 with 99 normal.*Received: 0\.005"):
        conformal_threshold(np.arange(99.0), 0.005)


@pytest.mark.parametrize("count", [*range(1, 200), 999, 1000, 12_345])
def test_the_rate_that_a_refusal_names_is_accepted(count):
    rate = lowest_short_rate(count)
    assert can_promise(count, float(f"{rate:g}"))
    assert rate <= 1.1 / (count + 1) + 1e-12  # two digits
    for promise, refusal in (
        (conformal_threshold, UsageError),
        (runtime.conformal_threshold, runtime.SettingError),
    ):
        with pytest.raises(refusal) as caught:
            promise(np.zeros(count), 0.5 / (count + 1))
        named = re.search(r"at least (\S+) with", str(caught.value))
        promise(np.zeros(count), float(named[1]))


def test_the_promised_rate_holds_on_average_over_many_draws(rng):
    """P(a new normal image alarms) <= 5 %, over the draw of both the images and the new one."""
    rates = []
    for _ in range(400):
        threshold = conformal_threshold(rng.normal(size=39), 0.05)
        rates.append((rng.normal(size=500) > threshold).mean())
    assert np.mean(rates) == pytest.approx(0.05, abs=0.01)


def test_enough_anomalies_give_the_threshold_of_best_f1(rng):
    scores, truth = rng.normal(size=200), np.arange(200) < 20
    chosen = choose_threshold(scores, truth)
    assert chosen.value == best_f1_threshold(scores, truth)
    assert chosen.rule == "best F1 on validation"


def test_too_few_anomalies_or_an_asked_for_rate_give_a_promise(rng):
    scores, truth = rng.normal(size=200), np.arange(200) < 20
    few = np.arange(200) < 19
    assert choose_threshold(scores, few).value == conformal_threshold(scores[~few], 0.05)
    asked = choose_threshold(scores, truth, 0.1)
    assert asked.value == conformal_threshold(scores[~truth], 0.1)
    assert asked.rule == "at most 10.00% false alarms (conformal)"


@given(st.integers(1, 60))
def test_without_a_rate_any_number_of_normal_images_will_do(count):
    scores = np.arange(float(count))
    assert choose_threshold(scores, np.zeros(count, bool)).value <= scores.max()


def test_the_pixel_threshold_promises_the_asked_share_of_marked_images():
    chosen = choose_pixel_threshold(np.arange(99.0), 0.1)
    assert chosen.value == conformal_threshold(np.arange(99.0), 0.1)
    assert chosen.rule == "at most 10.00% of normal images have a marked pixel (conformal)"


def test_by_default_five_per_cent_may_be_marked_or_what_so_few_images_can_promise():
    assert choose_pixel_threshold(np.arange(99.0)).value == 94.0
    few = choose_pixel_threshold(np.arange(9.0))
    assert few.value == 8.0
    assert "at most 10.01%" in few.rule


def test_a_share_that_so_few_peaks_cannot_promise_is_refused():
    with pytest.raises(UsageError, match=r"at least 0\.1 with 9 normal images"):
        choose_pixel_threshold(np.arange(9.0), 0.05)


def test_the_promise_on_marked_images_holds_over_exchangeable_draws(rng):
    shares = []
    for _ in range(400):
        peaks = rng.gamma(2, size=(239, 16)).max(axis=1)
        chosen = choose_pixel_threshold(peaks[:39], 0.1)
        shares.append((peaks[39:] > chosen.value).mean())
    # k = 36 of 39, so the mean is 4 / 40 for every distribution.
    assert np.mean(shares) == pytest.approx(0.1, abs=0.008)
