"""Promises that so few images cannot keep are refused or told before training."""

import numpy as np
import pytest

from ganad_tf.calibration.promises import check_promise, describe_low_promise
from ganad_tf.data.images import LabelledImages
from ganad_tf.errors import UsageError


def validation(n_normal, n_anomaly):
    kinds = np.repeat([0, 1], [n_normal, n_anomaly])
    images = np.zeros((len(kinds), 4, 4, 1), np.uint8)
    return LabelledImages(images, kinds, ("normal", "hole"), frozenset([0]))


def test_a_rate_that_cannot_be_promised_names_the_flags_and_the_way_out():
    with pytest.raises(UsageError) as caught:
        check_promise(validation(4, 30), 0.05)
    assert str(caught.value) == (
        "--max-false-alarms must be at least 0.2 with 4 normal validation images; add photos or "
        "raise --validation-fraction. Received: 0.05"
    )
    check_promise(validation(4, 30), 0.2)
    check_promise(validation(19, 0), 0.05)


@pytest.mark.parametrize(
    ("counts", "asked", "told"),
    [
        ((4, 0), None, "4 normal validation images can promise 20% false alarms at best, not 5%"),
        ((1, 19), None, "1 normal validation image can promise 50% false alarms at best, not 5%"),
        ((18, 0), None, "18 normal validation images can promise 5.3% false alarms at best"),
        ((19, 0), None, ""),
        ((4, 20), None, ""),  # the threshold of best F1 promises nothing
        ((4, 0), 0.3, ""),
    ],
)
def test_a_lowered_promise_is_told(counts, asked, told, caplog):
    check_promise(validation(*counts), asked)
    assert bool(caplog.messages) == bool(told)
    assert told in caplog.text


def test_with_enough_images_there_is_nothing_to_tell():
    assert describe_low_promise(19, 0) == describe_low_promise(4, 20) == ""
