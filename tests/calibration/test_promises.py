"""Promises that so few images cannot keep are refused or told before training."""

import numpy as np
import pytest

from ganad_tf.calibration.promises import check_promise, describe_low_promise
from ganad_tf.errors import UsageError


def held_out(n_normal, n_anomaly):
    return np.repeat([False, True], [n_normal, n_anomaly])


def test_a_rate_that_cannot_be_promised_names_the_flags_and_the_way_out():
    with pytest.raises(UsageError) as caught:
        check_promise(held_out(4, 30), 0, 0.05)
    assert str(caught.value) == (
        "--max-false-alarms must be at least 0.2 with 4 normal validation images; add photos or "
        "raise --validation-fraction. Received: 0.05"
    )
    check_promise(held_out(4, 30), 0, 0.2)
    check_promise(held_out(19, 0), 0, 0.05)


def test_training_images_that_count_as_well_widen_what_can_be_promised():
    check_promise(held_out(4, 0), 38, 0.03)
    with pytest.raises(UsageError) as caught:
        check_promise(held_out(4, 0), 38, 0.02)
    assert str(caught.value) == (
        "--max-false-alarms must be at least 0.024 with 42 normal images outside the test part; "
        "add photos. Received: 0.02"
    )
    check_promise(held_out(4, 0), 38, 0.024)


@pytest.mark.parametrize(
    ("counts", "asked", "told"),
    [
        ((4, 0, 0), None, "4 normal validation images can promise 20% false alarms at best"),
        ((1, 0, 19), None, "1 normal validation image can promise 50% false alarms at best"),
        ((18, 0, 0), None, "18 normal validation images can promise 5.3% false alarms at best"),
        ((19, 0, 0), None, ""),
        ((4, 0, 20), None, ""),  # the threshold of best F1 promises nothing
        ((4, 0, 0), 0.3, ""),
        ((4, 38, 0), None, "42 normal images promise 7% false alarms, not 5%"),
        ((6, 54, 0), None, ""),
    ],
)
def test_a_lowered_promise_is_told(counts, asked, told, caplog):
    n_normal, n_crossed, n_anomaly = counts
    check_promise(held_out(n_normal, n_anomaly), n_crossed, asked)
    assert bool(caplog.messages) == bool(told)
    assert told in caplog.text


def test_with_enough_images_there_is_nothing_to_tell():
    assert describe_low_promise(19, 0, 0) == describe_low_promise(4, 0, 20) == ""
