"""The folder of one run: what lies where, and who may write into it."""

import shutil
from pathlib import Path

from ganad_tf.artefacts import read_json, write_json
from ganad_tf.config import RunConfig
from ganad_tf.errors import ArtefactError, UsageError

CONFIG, METRICS = "config.json", "metrics.json"


def open_run(folder: Path, config: RunConfig, resume: bool, overwrite: bool) -> Path:
    """Prepares a run folder and writes `config.json` into it.

    Args:
        folder: where the run's files go.
        config: the run's settings.
        resume: go on with the run in `folder`, if there is one.
        overwrite: remove the run in `folder`, if there is one.

    Returns:
        `folder`.

    Raises:
        UsageError: if the folder holds something and neither flag fits, or the run to resume has
            other settings.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output must be a folder. Received: {folder}, a file")
    is_run = (folder / CONFIG).is_file()
    if folder.is_dir() and any(folder.iterdir()):
        if resume and is_run:
            _check_same(folder, config)
            return folder
        if not (overwrite and is_run):
            hint = "add --resume or --overwrite" if is_run else "it holds other files"
            raise UsageError(f"--output must be a new or empty folder. Received: {folder} ({hint})")
        shutil.rmtree(folder)
    write_json(folder / CONFIG, config.to_dict())
    return folder


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


def _check_same(folder: Path, config: RunConfig) -> None:
    differences = load_config(folder).differences(config)
    if differences:
        raise UsageError(
            f"--resume needs the settings that {folder} was begun with. "
            f"Received (begun != now): {'; '.join(differences)}"
        )
