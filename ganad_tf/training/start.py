"""Begins a training with the networks and the parts of an earlier run, or goes on with its own."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from ganad_tf.atomic_files import read_json
from ganad_tf.data.account import SplitEntry
from ganad_tf.data.folder.split_file import read_split
from ganad_tf.data.load import Source, load_splits
from ganad_tf.data.splits import Splits
from ganad_tf.errors import ArtefactError, UsageError
from ganad_tf.plan import Plan
from ganad_tf.run_folder import MODEL, PLAN, SPLIT_TABLE, START, with_own_split
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.training.model import DualDiscriminatorGAN

_LOGGER = logging.getLogger(__name__)
NETWORKS = ("generator", "averaged_generator", "normal_discriminator", "anomaly_discriminator")


def load_enlarged(config: RunConfig, source: Source, run: Path) -> Splits:
    """The images as they are now; own ones of the earlier run in `run` keep their part.

    With another split file in the settings, that decides.
    """
    if not config.data:
        return load_splits(config, source)
    earlier = read_split(run / SPLIT_TABLE)
    splits = load_splits(config, source, earlier)
    assert splits.folder is not None
    _warn_of_leaks(earlier, splits.folder.entries)
    return splits


def _warn_of_leaks(earlier: Sequence[SplitEntry], now: Sequence[SplitEntry]) -> None:
    """Warns if images that the earlier run learnt from may be held out in the new one."""
    parts = {entry.path: entry.part for entry in now}
    gone = [e.path for e in earlier if e.part in ("train", "validation") and e.path not in parts]
    if gone:
        _LOGGER.warning(
            "%d images that the earlier run learnt from are gone, such as %s. If they were "
            "renamed, they count as new and may be tested, which would flatter the result",
            len(gone),
            gone[0],
        )
    learnt = [entry.path for entry in earlier if entry.part == "train"]
    held_out = [path for path in learnt if parts.get(path) in ("validation", "test")]
    if held_out:  # by another split file
        _LOGGER.warning(
            "%d images that the earlier run was trained on are in validation or test now, such as "
            "%s. Scores, thresholds and the result are flattered",
            len(held_out),
            held_out[0],
        )


def load_resumed(config: RunConfig, source: Source, folder: Path) -> Splits:
    """The images of the stopped run in `folder`, in the parts that it was begun with."""
    if (folder / START).is_file() and not (folder / SPLIT_TABLE).is_file():
        # It was stopped before it wrote its split. Another one could test with images that the
        # earlier run, whose weights it begins with, has learnt from.
        return load_enlarged(config, source, Path(read_json(folder / START)["run"]))
    return load_splits(with_own_split(config, folder), source)


def check_same_plan(folder: Path, plan: Plan) -> None:
    """Refuses to go on with another plan, which another device or version may have made.

    Args:
        folder: of the run; nothing is checked if it has no plan yet.
        plan: as `fit_encoder` settled it now.

    Raises:
        ArtefactError: if the run was begun with another one.
    """
    if not (folder / PLAN).is_file():
        return
    differences = plan.differences(read_json(folder / PLAN))
    if differences:
        raise ArtefactError(
            f"{folder}: expected the plan that the run was begun with; go on where it was begun, "
            f"or start anew. Received another one (begun != now): {'; '.join(differences)}"
        )


def describe_start(run: Path, folder: Path) -> dict[str, Any]:
    """What start.json says: the earlier run and the hash of its model.

    Args:
        run: the earlier run.
        folder: of the new run.

    Raises:
        UsageError: if both are the same.
        ArtefactError: if the earlier run has no model.
    """
    if folder.resolve() == run.resolve():
        raise UsageError(f"--output must be another folder than --from. Received: {folder}")
    return {"run": str(run.resolve()), "sha256": _hash(run / MODEL)}


def _hash(path: Path) -> str:
    if not path.is_file():
        raise ArtefactError(f"{path}: expected the model of a finished run. Received: no such file")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def start_from(model: DualDiscriminatorGAN, file: Path) -> None:
    """Copies the weights of all networks from the run that `file` names, a start.json.

    Optimizers, the learning rate and the number of steps begin anew.

    Raises:
        ArtefactError: if the earlier run is gone, has changed, or has other networks.
    """
    start = read_json(file)
    run = Path(start["run"])
    if _hash(run / MODEL) != start["sha256"]:
        raise ArtefactError(
            f"{run / MODEL}: expected the model that this run was begun with. Received: another one"
        )
    try:
        earlier = keras.saving.load_model(run / MODEL, compile=False, safe_mode=True)
        weights = {name: getattr(earlier, name).get_weights() for name in NETWORKS}
    except Exception as error:
        # Keras and zip readers raise many types of errors on damaged files.
        raise ArtefactError(
            f"{run / MODEL}: expected the model of a finished run. "
            f"Received: {type(error).__name__}: {error}"
        ) from error
    for name, theirs in weights.items():
        network = getattr(model, name)
        shapes = [[array.shape for array in arrays] for arrays in (network.get_weights(), theirs)]
        if shapes[0] != shapes[1]:
            raise ArtefactError(
                f"{run / MODEL}: expected the same networks as in this run, whose widths and image "
                f"sizes are equal. Received: another {name}"
            )
        network.set_weights(theirs)
