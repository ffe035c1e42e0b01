"""`GANAD_SHORT`: trains for seconds, and only if asked to."""

import pytest

from ganad_tf.settings.run_config import RunConfig
from ganad_tf.settings.short import SETTINGS, shortened


@pytest.mark.parametrize("value", [None, "", "0"])
def test_without_the_variable_settings_stay(value, monkeypatch):
    monkeypatch.delenv("GANAD_SHORT", raising=False)
    if value is not None:
        monkeypatch.setenv("GANAD_SHORT", value)
    config = RunConfig(epochs=5)
    assert shortened(config) is config


@pytest.mark.parametrize("settings", [{"score": "pretrained"}, {"encoder_weights": "lite0.pth"}])
def test_what_needs_the_pretrained_network_is_left_out(settings, monkeypatch):
    monkeypatch.setenv("GANAD_SHORT", "1")
    config = shortened(RunConfig(data="photos", **settings))
    assert (config.encoder, config.score, config.encoder_weights) == ("none", "auto", None)


def test_with_the_variable_training_takes_seconds_and_a_warning_says_so(monkeypatch, caplog):
    monkeypatch.setenv("GANAD_SHORT", "1")
    config = shortened(RunConfig(data="photos", epochs=30, batch_size=128, seed=3))
    assert SETTINGS.items() <= config.to_dict().items()
    assert (config.seed, config.clusters) == (3, "auto")
    assert "GANAD_SHORT is set: training takes seconds and learns nothing" in caplog.text
