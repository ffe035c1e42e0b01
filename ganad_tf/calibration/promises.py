"""What the normal validation images of a data set can promise, told before training."""

import logging

import numpy as np

from ganad_tf.calibration.thresholds import DEFAULT_FALSE_ALARMS, MIN_ANOMALIES, can_promise
from ganad_tf.data.folder.wording import counted
from ganad_tf.data.images import LabelledImages
from ganad_tf.errors import UsageError

_LOGGER = logging.getLogger(__name__)
_WAYS_OUT = "add photos or raise --validation-fraction"


def check_promise(validation: LabelledImages, asked: float | None) -> None:
    """Refuses what would otherwise fail after training, and warns if less is promised than usual.

    Args:
        validation: the held-out images.
        asked: the rate of `--max-false-alarms`, if it was given.

    Raises:
        UsageError: if so few normal images cannot promise the asked rate.
    """
    n_anomaly = int(np.count_nonzero(validation.is_anomaly))
    n_normal = len(validation) - n_anomaly
    if asked is not None and not can_promise(n_normal, asked):
        raise UsageError(
            f"--max-false-alarms must be at least {1 / (n_normal + 1):.2g} with {n_normal} normal "
            f"validation images; {_WAYS_OUT}. Received: {asked}"
        )
    if asked is None and (warning := describe_low_promise(n_normal, n_anomaly)):
        _LOGGER.warning("%s", warning)


def describe_low_promise(n_normal: int, n_anomaly: int) -> str:
    """A sentence if the default threshold promises less than `DEFAULT_FALSE_ALARMS`; else empty.

    Args:
        n_normal, n_anomaly: numbers of validation images.
    """
    if n_anomaly >= MIN_ANOMALIES or can_promise(n_normal, DEFAULT_FALSE_ALARMS):
        return ""
    return (
        f"{counted(n_normal, 'normal validation image')} can promise {100 / (n_normal + 1):.2g}% "
        f"false alarms at best, not {DEFAULT_FALSE_ALARMS:.0%}; {_WAYS_OUT}"
    )
