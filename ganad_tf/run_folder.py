"""The folder of a run: its file names, and when it may be created, replaced or resumed."""

import dataclasses
import os
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganad_tf.atomic_files import is_unfinished, read_json, remove_unfinished, write_json
from ganad_tf.command_names import command_name
from ganad_tf.errors import ArtefactError, GanadError, UsageError
from ganad_tf.folder_lock import LOCK
from ganad_tf.settings.flags import given_settings
from ganad_tf.settings.run_config import RunConfig

CONFIG, PLAN = "config.json", "plan.json"
SPLIT, SPLIT_TABLE = "split.json", "split.csv"
START, COMMAND = "start.json", "command.json"
CLUSTERS, HISTORY, TENSORBOARD = "clusters.json", "history.csv", "tensorboard"
CHECKPOINT, BEST = "checkpoint.weights.h5", "best.weights.h5"
MODEL, DETECTOR = "model.keras", "detector"
SCORES, METRICS = "scores.csv", "metrics.json"
PLOTS, REPORT = "plots", "report.html"
TRACKER = "tracker.json"

# Settings that config.json had in every format. Other programs have a config.json, too, perhaps
# with a seed and a batch size; their folders must never be removed.
_ALWAYS_THERE = {
    *("normal", "protocol", "validation_fraction", "image_size", "width"),
    *("discriminator_width", "steps_per_epoch", "batch_size", "loss_weights", "score", "seed"),
}


# Flags about this machine. They are not kept in config.json.
NOT_KEPT = ("--data-dir", "--idx-dir", "--devices")
# Settings that a run keeps that starts from an earlier one: of the networks and, on Fashion-MNIST,
# of the parts. Own images keep their part by split.csv.
_OF_NETWORKS = ("preset", "width", "discriminator_width", "refine", "image_size", "channels")
_OF_PARTS = (
    *("normal", "protocol", "known", "known_share", "anomalies", "validation_fraction", "seed"),
)


def default_folder(config: RunConfig, normal_name: str) -> Path:
    """`runs/fashion_mnist-sneaker`; another protocol or seed than the default is added.

    Args:
        config: the run's settings.
        normal_name: of the normal class of Fashion-MNIST.
    """
    if config.data:
        parts = [_slug(Path(config.data).resolve().name) or "images"]
    else:
        parts = ["fashion_mnist", _slug(normal_name)]
    if config.protocol != "seen":
        parts.append(config.protocol)
    if config.seed:
        parts.append(f"seed{config.seed}")
    return Path("runs") / "-".join(parts)


def _slug(name: str) -> str:
    return re.sub(r"\W+", "-", name.lower()).strip("-")


def create_run(
    folder: Path, config: RunConfig, overwrite: bool, start: Mapping[str, Any] | None = None
) -> None:
    """Makes a run folder and writes `config.json` into it.

    Args:
        folder: where the run's files go; locked by this process.
        config: the run's settings.
        overwrite: remove the run in `folder`, if there is one.
        start: what `start.json` will say; None for a run that starts from random weights.

    Raises:
        UsageError: if the folder holds something that may not be removed.
    """
    check_new(folder, overwrite)
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    # The settings go last: killed in between, the rest is still known to be a run's.
    for path in (folder / name for name in (*sorted(names - {LOCK, CONFIG}), CONFIG)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if start is not None:
        write_json(folder / START, start)
    write_json(folder / CONFIG, config.to_dict())


def how_begun(folder: Path) -> dict[str, str]:
    """The `command` line that began the run, and the `precision` that the device then gave it.

    Runs of earlier versions lack one or both.
    """
    return read_json(folder / COMMAND) if (folder / COMMAND).is_file() else {}


def check_new(folder: Path, overwrite: bool) -> None:
    """Checks that a new run may be written to a folder.

    Raises:
        UsageError: if it is a file, holds something that may not be removed, or cannot be written.
    """
    above = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not above.is_dir():
        raise UsageError(f"--output must be a folder. Received: {folder}; {above} is a file")
    if not os.access(above, os.W_OK):
        raise UsageError(f"--output must be writable. Received: {folder}; {above} is read-only")
    if folder.is_dir() and not all(_is_left_over(path.name) for path in folder.iterdir()):
        is_run = _is_run(folder)
        if not (overwrite and is_run):
            hint = f"add --overwrite, or use --resume {folder}" if is_run else "holds other files"
            raise UsageError(f"--output must be a new or empty folder. Received: {folder} ({hint})")


def check_new_for_helper(folder: Path, overwrite: bool) -> None:
    """`check_new` on a worker other than the first, which may have begun to write there already.

    Worker 0 holds the folder's lock then, and cannot finish the run alone.

    Raises:
        UsageError: as `check_new`.
    """
    try:
        check_new(folder, overwrite)
    except UsageError:
        if is_finished(folder) or not (folder / LOCK).exists():
            raise


def remove_left_over(folder: Path) -> None:
    """Removes what a killed process was writing into a run folder, locked by this process."""
    for place in (folder, folder / PLOTS):
        remove_unfinished(place)


def _is_left_over(name: str) -> bool:
    return name == LOCK or is_unfinished(name)


def _is_run(folder: Path) -> bool:
    """Whether `create_run` made the folder, in this version or an earlier one."""
    try:
        values = read_json(folder / CONFIG)
        load_config(folder)
    except GanadError:
        return False
    return set(values) >= _ALWAYS_THERE


def check_same_split(folder: Path, fingerprint: str) -> None:
    """Refuses other images, or another split of them.

    Otherwise an image that the run was trained on could become a test image.

    Args:
        folder: the run folder.
        fingerprint: of the split that was loaded now.

    Raises:
        ArtefactError: if it is not the one that the run was begun with.
    """
    begun_with = read_json(folder / SPLIT).get("fingerprint")
    if begun_with != fingerprint:
        raise ArtefactError(
            f"{folder}: expected the images and the split that the run was begun with "
            f"({begun_with}). Received: {fingerprint}"
        )


def is_finished(folder: Path) -> bool:
    """Whether a run is complete: its metrics are written last."""
    return (folder / METRICS).is_file()


def load_config(folder: Path) -> RunConfig:
    """Reads the settings of a run, of any format.

    Raises:
        ArtefactError: if the folder is not a run's.
    """
    if not (folder / CONFIG).is_file():
        received = f"one without {CONFIG}" if folder.is_dir() else "no such folder"
        raise ArtefactError(
            f"{folder}: expected the folder of a run, as {command_name('train')} makes. "
            f"Received: {received}"
        )
    return RunConfig.from_dict(read_json(folder / CONFIG))


def resumed_config(folder: Path, arguments: Mapping[str, Any]) -> RunConfig:
    """Reads the settings of the run to resume, and checks that no given flag contradicts them.

    `--data` is an exception: it names the place where the run's images are now. The precision is
    the one that the run was begun in, whatever `auto` would choose for the device now: optimizers
    of another one cannot go on with its checkpoint.

    Args:
        folder: the run folder.
        arguments: the parsed flags, as `vars(namespace)`.

    Raises:
        ArtefactError: if the folder is not a run's.
        UsageError: if a given flag differs from the run's setting.
    """
    config = load_config(folder)
    given = given_settings(arguments, config.loss_weights)
    config = moved(config, given.pop("data", None))
    differences = config.differences(given)
    if differences:
        raise UsageError(
            f"--resume continues {folder} with its own settings. "
            f"Received other ones (begun != now): {'; '.join(differences)}"
        )
    precision = how_begun(folder).get("precision", config.precision)
    return dataclasses.replace(config, precision=precision)


def resume_advice(config: RunConfig, folder: Path, command: str) -> str:
    """How to go on with the run in `folder`, after Ctrl-C in the process of `command`."""
    resume = [*command_name("train").split(), "--resume", str(folder)]
    if config.data and config.data != load_config(folder).data:  # moved since the run was begun
        resume += ["--data", config.data]
    advice = f"stopped; go on with: {shlex.join(resume)}"
    given = {word.split("=")[0] for word in shlex.split(command)}
    again = [flag for flag in NOT_KEPT if flag in given]
    return f"{advice} and the same {' '.join(again)}" if again else advice


def started_config(folder: Path, arguments: Mapping[str, Any]) -> RunConfig:
    """The settings of a run that starts from the finished one in `folder`, with other flags.

    Own images keep their part, and new ones are drawn, unless `--split` is given; see
    `ganad_tf.data.folder.enlarged`. On Fashion-MNIST, nothing may be given that changes the parts:
    images that the earlier run was trained on would be held out.

    Args:
        folder: of the earlier run.
        arguments: the parsed flags, as `vars(namespace)`.

    Raises:
        ArtefactError: if the folder is not a finished run's.
        UsageError: if a flag asks for other networks, for other parts of Fashion-MNIST, or for
            images of another kind of source.
    """
    config = load_config(folder)
    if not (is_finished(folder) and (folder / MODEL).is_file()):
        raise ArtefactError(f"{folder}: expected a finished run. Received: one without {MODEL}")
    given = given_settings(arguments, config.loss_weights)
    config = moved(config, given.pop("data", None))
    names = _OF_NETWORKS if config.data else (*_OF_NETWORKS, *_OF_PARTS)
    others = {name: given[name] for name in names if name in given}
    if differences := config.differences(others):
        parts = "" if config.data else " and the parts"
        raise UsageError(
            f"--from keeps the networks{parts} of {folder}. "
            f"Received other settings (theirs != now): {'; '.join(differences)}"
        )
    return dataclasses.replace(config, **{"split": None, **given})


def moved(config: RunConfig, data: str | None) -> RunConfig:
    """The configuration with its images in another place; the same without one.

    Raises:
        UsageError: if the run was not trained on own images.
    """
    if data is None:
        return config
    if not config.data:
        raise UsageError(
            "--data must be left out: the run was trained on Fashion-MNIST, which --data-dir and "
            f"--idx-dir locate. Received: {data!r}"
        )
    return dataclasses.replace(config, data=data)


def with_own_split(config: RunConfig, folder: Path) -> RunConfig:
    """The configuration that splits own images as the run in `folder` did.

    Images that were added since then are left out, and the parts need not be drawn again.

    Args:
        config: of the run.
        folder: the run folder; without a split.csv in it, the configuration stays what it is.
    """
    if not config.data or not (folder / SPLIT_TABLE).is_file():
        return config
    return dataclasses.replace(config, split=str(folder / SPLIT_TABLE))
