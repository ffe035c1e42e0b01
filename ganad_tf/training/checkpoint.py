"""Saves the training state after each epoch, so that a killed run resumes where it was."""

import warnings
from pathlib import Path

import keras

from ganad_tf.atomic_files import replace_file
from ganad_tf.errors import ArtefactError


class Checkpoint(keras.callbacks.Callback):
    """Writes all weights and all optimizer state to one file at the end of each epoch.

    Not keras.callbacks.BackupAndRestore, which writes the weights and the epoch's number one after
    the other: killed in between, it replays an epoch on weights that have already seen it. Here
    the epoch follows from the model's own step count, which is in the same file as the weights.

    Args:
        path: the checkpoint, ending in `.weights.h5`.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        save_weights(self.model, self.path)


def save_weights(model: keras.Model, path: Path) -> None:
    """Writes a model's weights to `path`, whole or not at all."""
    with replace_file(path) as temporary:
        # Keras accepts this double suffix only.
        whole = temporary.with_name(f"{temporary.stem}.weights.h5")
        try:
            model.save_weights(whole)
            whole.replace(temporary)
        finally:
            whole.unlink(missing_ok=True)


def load_weights(model: keras.Model, path: Path) -> None:
    """Reads what `save_weights` wrote.

    Raises:
        ArtefactError: if the file is missing, damaged, or of another model or other optimizers.
    """
    try:
        with warnings.catch_warnings():
            # Otherwise Keras goes on, and such an optimizer begins anew.
            warnings.filterwarnings("error", "Skipping variable loading for optimizer")
            model.load_weights(path)
    except Exception as error:
        # h5py and Keras raise many types of errors on damaged files.
        # Keras gives a number in the first line of its own, and an example in the second.
        reason = " ".join([line for line in str(error).splitlines() if line][:2])
        raise ArtefactError(
            f"{path}: expected weights of this run; start again with --overwrite. "
            f"Received: {type(error).__name__}: {reason}"
        ) from error
