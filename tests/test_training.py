"""What a configuration makes of the model."""

import pytest

from ganad_tf.config import RunConfig
from ganad_tf.training import build_model

SMALL = {"width": 2, "discriminator_width": 2}


@pytest.mark.parametrize(
    ("settings", "labelled", "turned"),
    [
        ({"turn_below": 100}, 20, False),
        ({"data": "photos", "turn_below": 100}, 20, True),
        ({"data": "photos", "turn_below": 100}, 0, False),
        ({"data": "photos", "turn_below": 100}, 100, False),
        ({"data": "photos"}, 20, False),
    ],
)
def test_few_labelled_anomalies_of_own_images_may_be_turned(settings, labelled, turned):
    model = build_model(RunConfig(**settings, **SMALL), 1, labelled_anomalies=labelled)
    assert bool(model.anomaly_augmentation) is turned
