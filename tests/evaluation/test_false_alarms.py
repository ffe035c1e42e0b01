import numpy as np
import pytest

from ganad_tf.evaluation.false_alarms import expected_alarms, expected_rate, is_one_of
from ganad_tf.scoring import conformal_threshold

DRAWS = 2000


def within(values, low, high):
    return np.mean((np.array(low) <= values) & (values <= np.array(high)))


@pytest.mark.parametrize(("count", "promise"), [(19, 0.05), (60, 0.05), (200, 0.2)])
def test_a_conformal_interval_holds_the_true_rate_as_often_as_stated(rng, count, promise):
    """With uniform scores, the true rate of a threshold t is 1 - t."""
    rates, results = [], []
    for _ in range(DRAWS):
        scores = rng.random(count)
        threshold = conformal_threshold(scores, promise)
        rates.append(1 - threshold)
        results.append(expected_rate(scores, threshold))
    lows, highs = ([result[key] for result in results] for key in ("low", "high"))
    assert within(rates, lows, highs) == pytest.approx(0.9, abs=0.02)
    assert np.mean(rates) == pytest.approx(results[0]["mean"], abs=0.005)
    assert results[0]["mean"] <= promise + 1e-9


@pytest.mark.parametrize("rate", [0.004, 0.05, 0.3])
def test_the_interval_of_a_threshold_chosen_elsewhere_holds_at_least_as_often(rng, rate):
    results = [expected_rate(rng.random(80), 1 - rate) for _ in range(DRAWS)]
    lows, highs = ([result[key] for result in results] for key in ("low", "high"))
    assert within(rate, lows, highs) >= 0.9 - 0.015


@pytest.mark.parametrize("images", [18, 500])
def test_the_alarms_of_a_test_lie_in_their_range_at_least_as_often(rng, images):
    scores = np.sort(rng.random((DRAWS, 40)), axis=1)
    thresholds = [conformal_threshold(drawn, 0.1) for drawn in scores]
    alarms = rng.binomial(images, 1 - np.array(thresholds))
    # Of a conformal threshold, only the rank counts. Counts are whole numbers, so that the range
    # holds some more than it must.
    assert 0.885 <= within(alarms, *expected_alarms(scores[0], thresholds[0], images)) <= 0.99


def test_known_values():
    """Rank 19 of 19 scores: Beta(1, 19), whose quantiles are 1 - (1 - q)^(1/19)."""
    result = expected_rate(np.arange(1, 20), 19)
    assert result["mean"] == pytest.approx(1 / 20)
    assert result["low"] == pytest.approx(1 - 0.95 ** (1 / 19))
    assert result["high"] == pytest.approx(1 - 0.05 ** (1 / 19))
    assert result["confidence"] == 0.9
    # Clopper and Pearson, none of 19: up to 1 - 0.05^(1/19).
    between = expected_rate(np.arange(1, 20), 19.5)
    assert between["low"] == 0
    assert between["high"] == pytest.approx(1 - 0.05 ** (1 / 19))
    assert between["mean"] == pytest.approx(0.5 / 20)


def test_thresholds_beyond_all_scores_and_single_images_have_intervals_too():
    below = expected_rate([1.0, 2.0], 0.0)
    assert below["low"] < below["mean"] < below["high"] == 1
    assert expected_alarms([1.0, 2.0], 0.0, 7)[1] == 7
    assert expected_alarms([1.0, 2.0], 3.0, 7)[0] == 0
    alone = expected_rate([1.0], 1.0)
    assert (alone["low"], alone["mean"], alone["high"]) == pytest.approx((0.05, 0.5, 0.95))


def test_a_conformal_threshold_is_recognised(rng):
    scores = rng.random(50).astype(np.float32)
    assert is_one_of(scores.tolist(), conformal_threshold(scores, 0.1))
    assert not is_one_of(scores, 0.5)
