"""What a configuration makes of the model."""

import pytest

from ganad_tf.config import RunConfig
from ganad_tf.errors import UsageError
from ganad_tf.training import build_model

SMALL = {"width": 2, "discriminator_width": 2}


def test_only_what_has_no_top_is_turned():
    assert not build_model(RunConfig(data="photos", **SMALL), 1).augmentation.turn
    assert build_model(RunConfig(data="photos", turn=True, **SMALL), 1).augmentation.turn
    with pytest.raises(UsageError, match="--turn makes turned images normal"):
        RunConfig(turn=True)
