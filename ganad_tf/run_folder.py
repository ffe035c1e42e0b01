"""The folder of one run: what lies where, and who may write into it."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganad_tf.atomic_files import read_json, write_json
from ganad_tf.errors import ArtefactError, UsageError
from ganad_tf.settings.flags import config_from_flags
from ganad_tf.settings.run_config import RunConfig

CONFIG, SPLIT, METRICS = "config.json", "split.json", "metrics.json"


def create_run(folder: Path, config: RunConfig, overwrite: bool) -> None:
    """Makes a run folder and writes `config.json` into it.

    Args:
        folder: where the run's files go.
        config: the run's settings.
        overwrite: remove the run in `folder`, if there is one.

    Raises:
        UsageError: if the folder holds something that may not be removed.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output must be a folder. Received: {folder}, a file")
    if folder.is_dir() and any(folder.iterdir()):
        is_run = _is_run(folder)
        if not (overwrite and is_run):
            hint = f"add --overwrite, or use --resume {folder}" if is_run else "holds other files"
            raise UsageError(f"--output must be a new or empty folder. Received: {folder} ({hint})")
        shutil.rmtree(folder)
    write_json(folder / CONFIG, config.to_dict())


def _is_run(folder: Path) -> bool:
    """Whether `create_run` made it. Other programs have a config.json, too, perhaps with a seed and
    a batch size; theirs must not be removed, so all settings must be there, and no others."""
    try:
        values = read_json(folder / CONFIG)
    except ArtefactError:
        return False
    return isinstance(values, dict) and set(values) == set(RunConfig().to_dict())


def check_same_split(folder: Path, fingerprint: str) -> None:
    """Refuses other images, or another split of them: what a run has learnt from must not come back
    as a test image.

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
    """Whether a run ended: its metrics are the last file it writes."""
    return (folder / METRICS).is_file()


def load_config(folder: Path) -> RunConfig:
    """Reads the settings of a run.

    Raises:
        ArtefactError: if the folder is not a run's.
    """
    values = read_json(folder / CONFIG)
    if not isinstance(values, dict):
        raise ArtefactError(
            f"{folder / CONFIG}: expected a JSON object. Received: {type(values).__name__}"
        )
    return RunConfig.from_dict(values)


def resumed_config(folder: Path, given: Mapping[str, Any], preset: str | None) -> RunConfig:
    """Reads the settings of the run to resume, and checks that no flag contradicts them.

    Args:
        folder: the run folder.
        given: the flags that were given, by name.
        preset: the preset, if one was given.

    Raises:
        ArtefactError: if the folder is not a run's.
        UsageError: if a given flag differs from the run's setting.
    """
    config = load_config(folder)
    wanted = config_from_flags(given, preset, base=config)
    differences = config.differences(wanted)
    if differences:
        raise UsageError(
            f"--resume goes on with the settings that {folder} was begun with. "
            f"Received other ones (begun != now): {'; '.join(differences)}"
        )
    return config
