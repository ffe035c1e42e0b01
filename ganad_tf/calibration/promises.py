"""What the normal images of a data set can promise, told before training."""

import logging

import numpy as np

from ganad_tf.calibration.thresholds import (
    DEFAULT_FALSE_ALARMS,
    MIN_ANOMALIES,
    can_promise,
    lowest_short_rate,
    steady_rate,
)
from ganad_tf.errors import UsageError
from ganad_tf.wording import counted

_LOGGER = logging.getLogger(__name__)
_ADD_PHOTOS = "add photos"
_HOLD_OUT_MORE = "add photos or raise --validation-fraction"


def check_promise(is_anomaly: np.ndarray, n_crossed: int, asked: float | None) -> None:
    """Refuses what would otherwise fail after training, and warns if less is promised than usual.

    Args:
        is_anomaly: bool [N], of the validation images.
        n_crossed: how many normal training images count as well.
        asked: the rate of `--max-false-alarms`, if it was given.

    Raises:
        UsageError: if so few normal images cannot promise the asked rate.
    """
    n_anomaly = int(np.count_nonzero(is_anomaly))
    n_normal = len(is_anomaly) - n_anomaly
    count = n_normal + n_crossed
    if asked is not None and not can_promise(count, asked):
        kind, way_out = (
            ("images outside the test part", _ADD_PHOTOS)
            if n_crossed
            else ("validation images", _HOLD_OUT_MORE)
        )
        raise UsageError(
            f"--max-false-alarms must be at least {lowest_short_rate(count):g} with {count} normal "
            f"{kind}; {way_out}. Received: {asked}"
        )
    if asked is None and (warning := describe_low_promise(n_normal, n_crossed, n_anomaly)):
        _LOGGER.warning("%s", warning)


def describe_low_promise(n_normal: int, n_crossed: int, n_anomaly: int) -> str:
    """A sentence if the default threshold promises less than `DEFAULT_FALSE_ALARMS`; else empty.

    Args:
        n_normal, n_anomaly: numbers of validation images.
        n_crossed: how many normal training images count as well.
    """
    if n_anomaly >= MIN_ANOMALIES:
        return ""
    usual = f"{DEFAULT_FALSE_ALARMS:.0%}"
    if n_crossed and (rate := steady_rate(n_normal, n_crossed)) > DEFAULT_FALSE_ALARMS:
        return (
            f"{counted(n_normal + n_crossed, 'normal image')} promise {100 * rate:.2g}% false "
            f"alarms, not {usual}, so that one odd image does not set the threshold alone; "
            f"{_ADD_PHOTOS}"
        )
    if n_crossed or can_promise(n_normal, DEFAULT_FALSE_ALARMS):
        return ""
    lowest = 100 * lowest_short_rate(n_normal)
    return (
        f"{counted(n_normal, 'normal validation image')} can promise {lowest:.2g}% false alarms "
        f"at best, not {usual}; {_HOLD_OUT_MORE}"
    )
