"""Training on several machines: TF_CONFIG names them, each runs the same command.

`fit` does not work under MultiWorkerMirroredStrategy in Keras 3 (keras-team/keras#20585). The loop
here replaces it and calls the same `train_step` and callbacks. It was tested with two processes on
one machine.
"""

import hashlib
from collections.abc import Iterable

import keras
import tensorflow as tf

from ganad_tf.data.batches import BalancedBatches
from ganad_tf.errors import TrainingError
from ganad_tf.training.model import DualDiscriminatorGAN

# What TensorFlow raises on a worker when another one is gone.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


def fit_on_workers(
    model: DualDiscriminatorGAN,
    batches: BalancedBatches,
    epochs: int,
    initial_epoch: int,
    callbacks: Iterable[keras.callbacks.Callback],
) -> None:
    """What `model.fit` does, under MultiWorkerMirroredStrategy.

    Args:
        model: built under the strategy.
        batches: of the GLOBAL batch size; each worker takes its share of every batch.
        epochs, initial_epoch: as for `fit`.
        callbacks: called on every worker, since saving may need values from all of them.

    Raises:
        TrainingError: if another worker is lost.
    """
    strategy = tf.distribute.get_strategy()
    calls = keras.callbacks.CallbackList(
        list(callbacks), model=model, epochs=epochs, steps=batches.steps_per_epoch
    )
    data = strategy.distribute_datasets_from_function(
        lambda context: batches.dataset(context.input_pipeline_id, context.num_input_pipelines)
    )

    @tf.function(autograph=False)
    def step(batch):
        strategy.run(model.train_step, args=(batch,))

    calls.on_train_begin()
    try:
        for epoch in range(initial_epoch, epochs):
            model.reset_metrics()
            calls.on_epoch_begin(epoch)
            logs: dict[str, float] = {}
            for number, batch in enumerate(data):
                calls.on_train_batch_begin(number)
                step(batch)
                # Reading losses waits for all workers, so they are read once in an epoch.
                if number + 1 == batches.steps_per_epoch:
                    logs = {name: float(mean.result()) for name, mean in model.trackers.items()}
                calls.on_train_batch_end(number, logs)
            calls.on_epoch_end(epoch, logs)
    except LOST as error:
        raise TrainingError(
            "another worker must have stopped; start all workers again with --resume. "
            f"Received: {type(error).__name__}: {error.message.splitlines()[0]}"
        ) from error
    calls.on_train_end()


def weights_digest(model: keras.Model) -> str:
    """First digits of a sha256 over all weights, to see that workers agree."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(weight.tobytes())
    return digest.hexdigest()[:16]
