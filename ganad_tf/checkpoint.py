"""Saves the training state after each epoch, so that a killed run resumes where it was."""

from pathlib import Path

import keras

from ganad_tf.artefacts import replace_file
from ganad_tf.errors import ArtefactError


class Checkpoint(keras.callbacks.Callback):
    """Writes all weights and all optimizer state to one file at the end of each epoch.

    Not keras.callbacks.BackupAndRestore, which writes the weights and the epoch's number one after
    the other: killed in between, it replays an epoch on weights that have already seen it. Here
    the number is the optimizer's own step count, inside the one file that is renamed into place.

    Args:
        path: the checkpoint, ending in `.weights.h5`.
    """

    def __init__(self, path: str | Path):
        super().__init__()
        self.path = Path(path)

    def on_epoch_end(self, epoch, logs=None):
        with replace_file(self.path.with_suffix(".h5")) as temporary:
            # Keras insists on its double suffix.
            whole = temporary.with_name(temporary.stem + ".weights.h5")
            try:
                self.model.save_weights(whole)
                whole.replace(temporary)
            finally:
                whole.unlink(missing_ok=True)


def restore(model: keras.Model, path: str | Path, steps_per_epoch: int) -> int:
    """Restores a checkpoint, if there is one.

    Args:
        model: built and compiled, with built optimizers.
        path: what `Checkpoint` wrote.
        steps_per_epoch: batches in an epoch.

    Returns:
        The number of finished epochs, 0 without a checkpoint.

    Raises:
        ArtefactError: if the file is damaged or of another model.
    """
    if not Path(path).exists():
        return 0
    try:
        model.load_weights(path)
    except Exception as error:
        # h5py and Keras raise a dozen types on a damaged file.
        raise ArtefactError(
            f"{path}: expected the checkpoint of this run; start again with --overwrite. "
            f"Received: {type(error).__name__}: {str(error).splitlines()[0]}"
        ) from error
    return int(model.optimizer.iterations.numpy()) // steps_per_epoch
