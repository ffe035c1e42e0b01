"""The loop that stands in for `fit` on several workers, on one device."""

from types import SimpleNamespace

import keras
import pytest
import tensorflow as tf

from ganad_tf.errors import TrainingError
from ganad_tf.training.workers import fit_on_workers

STEPS, EPOCHS = 3, 2


class Mean(keras.Model):
    """Tracks the mean of the numbers that it gets."""

    def __init__(self):
        super().__init__()
        self.trackers = {"loss": keras.metrics.Mean(name="loss")}

    def train_step(self, data):
        self.trackers["loss"].update_state(data)


class Calls(keras.callbacks.Callback):
    """Records how callbacks are called."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(("begin", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(("end", batch, dict(logs or {})))

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(("epoch", epoch, dict(logs)))


@pytest.fixture
def fit():
    """Fits to the numbers 0, 1, 2 in each of two epochs; returns the calls."""

    def fit(*others):
        calls = Calls()
        batches = SimpleNamespace(
            steps_per_epoch=STEPS,
            dataset=lambda index, count: tf.data.Dataset.range(STEPS, output_type=tf.float32),
        )
        strategy = tf.distribute.MirroredStrategy(["CPU:0"])
        with strategy.scope():
            fit_on_workers(Mean(), batches, EPOCHS, 0, [calls, *others])
        return calls.seen

    return fit


def test_callbacks_are_called_as_by_fit_with_the_losses_of_an_epoch_at_its_last_step(fit):
    each = [("begin", 0), ("end", 0, {}), ("begin", 1), ("end", 1, {}), ("begin", 2)]
    losses = {"loss": 1.0}
    expected = [[*each, ("end", 2, losses), ("epoch", epoch, losses)] for epoch in range(EPOCHS)]
    assert fit() == [call for epoch in expected for call in epoch]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (tf.errors.UnavailableError, TrainingError),
        (tf.errors.ResourceExhaustedError, tf.errors.ResourceExhaustedError),
    ],
)
def test_a_lost_worker_is_told_from_other_errors(fit, error, raised):
    def fail(batch, logs):
        raise error(None, None, "why")

    with pytest.raises(raised, match="why"):
        fit(keras.callbacks.LambdaCallback(on_train_batch_end=fail))
