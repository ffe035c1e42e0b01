"""Training for seconds, to try out commands, scripts and pipelines: `GANAD_SHORT=1`."""

import dataclasses
import logging
import os
from typing import Any

from ganad_tf.settings.names import AUTO, NO_ENCODER, PRETRAINED
from ganad_tf.settings.run_config import RunConfig

VARIABLE = "GANAD_SHORT"
SETTINGS: dict[str, Any] = {
    **{"epochs": 1, "steps_per_epoch": 2, "batch_size": 4, "encoder": NO_ENCODER},
    **{"width": 2, "discriminator_width": 2},
}

_LOGGER = logging.getLogger(__name__)


def shortened(config: RunConfig) -> RunConfig:
    """The same configuration, or one that trains for seconds if `$GANAD_SHORT` asks for it.

    The tests of the documentation and of the examples use it. The model learns nothing; files,
    messages and exit codes are those of a real run.
    """
    if os.environ.get(VARIABLE, "") in ("", "0"):
        return config
    _LOGGER.warning("%s is set: training takes seconds and learns nothing", VARIABLE)
    # Without the pretrained network there is no score of it and no use for its weights.
    score = AUTO if config.score == PRETRAINED else config.score
    return dataclasses.replace(config, **SETTINGS, score=score, encoder_weights=None)
