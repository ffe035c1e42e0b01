"""A run in the tracker that a team uses: MLflow or Weights & Biases, beside TensorBoard.

Each is reached through its own library, an extra, and follows that library's own environment
variables. Neither is sent anything over a network unless the user has configured it so.
"""

import contextlib
import importlib
import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ganad_tf.atomic_files import read_json, write_json
from ganad_tf.errors import ArtefactError, UsageError
from ganad_tf.run_folder import CONFIG, METRICS, PLAN, PLOTS, REPORT, SPLIT, TRACKER

NONE = "none"
FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"

_LOGGER = logging.getLogger(__name__)


class Backend(Protocol):
    """What is asked of a tracker's library."""

    def start(self, title: str, run: str | None) -> str:
        """Begins a run, or goes on with the one of this id; returns its id."""

    def log_settings(self, values: Mapping[str, Any]) -> None:
        """Keeps what does not change during the run."""

    def log_epoch(self, values: Mapping[str, float], epoch: int) -> None:
        """Keeps an epoch's figures."""

    def log_results(self, values: Mapping[str, float]) -> None:
        """Keeps the final figures."""

    def save(self, files: Sequence[Path], folder: Path) -> None:
        """Keeps copies of files, under their names below `folder`."""

    def end(self, status: str) -> None:
        """Ends the run: `FINISHED`, `FAILED` or `KILLED`."""


class MLflow:
    """MLflow, configured by `MLFLOW_TRACKING_URI`, `MLFLOW_EXPERIMENT_NAME` and its others."""

    def __init__(self) -> None:
        # MLflow reports its own use to its makers unless told otherwise before it is imported.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        self._mlflow = importlib.import_module("mlflow")

    def start(self, title: str, run: str | None) -> str:
        begun = self._mlflow.start_run(run_id=run, run_name=None if run else title)
        return begun.info.run_id

    def log_settings(self, values: Mapping[str, Any]) -> None:
        self._mlflow.log_params(dict(values))

    def log_epoch(self, values: Mapping[str, float], epoch: int) -> None:
        self._mlflow.log_metrics(dict(values), step=epoch)

    def log_results(self, values: Mapping[str, float]) -> None:
        self._mlflow.log_metrics(dict(values))

    def save(self, files: Sequence[Path], folder: Path) -> None:
        for file in files:
            below = file.relative_to(folder).parent
            self._mlflow.log_artifact(str(file), None if below == Path() else str(below))

    def end(self, status: str) -> None:
        self._mlflow.end_run(status)


class WeightsAndBiases:
    """Weights & Biases, offline unless `WANDB_MODE` says otherwise; `wandb sync` sends it later."""

    def __init__(self) -> None:
        os.environ.setdefault("WANDB_MODE", "offline")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self._wandb = importlib.import_module("wandb")
        self._run: Any = None

    def start(self, title: str, run: str | None) -> str:
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", "ganad_tf"),
            name=None if run else title,
            id=run,
            resume="allow" if run else None,
        )
        return self._run.id

    def log_settings(self, values: Mapping[str, Any]) -> None:
        self._run.config.update(dict(values))

    def log_epoch(self, values: Mapping[str, float], epoch: int) -> None:
        self._run.log(dict(values), step=epoch)

    def log_results(self, values: Mapping[str, float]) -> None:
        self._run.summary.update(dict(values))

    def save(self, files: Sequence[Path], folder: Path) -> None:
        for file in files:
            self._run.save(str(file), base_path=str(folder), policy="now")

    def end(self, status: str) -> None:
        self._run.finish(exit_code=int(status != FINISHED))


# Name -> its backend. Each is also the name of the package and of the extra.
BACKENDS: dict[str, Callable[[], Backend]] = {"mlflow": MLflow, "wandb": WeightsAndBiases}


class Tracker:
    """One run in a tracker.

    A tracker that fails while the run goes on must not cost the training: it is left alone from
    then on, with a warning. The run folder holds everything anyway.

    Args:
        name: in `BACKENDS`.
        run: the id of the run to go on with; None for a new one.

    Raises:
        UsageError: if the tracker's package is not installed.
    """

    def __init__(self, name: str, run: str | None = None):
        try:
            self._backend = BACKENDS[name]()
        except ImportError as error:
            raise UsageError(
                f"--track {name} needs the extra `{name}`: pip install 'ganad_tf[{name}]'. "
                f"Received: {error}"
            ) from error
        self.name, self.run = name, run
        self._is_new, self._works = run is None, True

    def start(self, title: str) -> None:
        """Begins the run, or goes on with it.

        Args:
            title: its name in the tracker.

        Raises:
            ArtefactError: if the tracker cannot be reached, or does not know the run.
        """
        try:
            self.run = self._backend.start(title, self.run)
        except Exception as error:  # each library has its own
            told = "a tracker that can be written to" if self._is_new else f"its run {self.run}"
            raise ArtefactError(
                f"--track {self.name}: expected {told} (--track none goes without). "
                f"Received: {_first_line(error)}"
            ) from error
        _LOGGER.info("tracked by %s as run %s", self.name, self.run)

    @contextlib.contextmanager
    def following(self, folder: Path) -> Iterator[None]:
        """Follows a run, begun by `start`, to its end.

        Args:
            folder: of the run. It gets `tracker.json`, and has `metrics.json` at the end.
        """
        write_json(folder / TRACKER, {"tracker": self.name, "run": self.run})
        try:
            yield
        except BaseException as error:
            status = KILLED if isinstance(error, KeyboardInterrupt) else FAILED
            self._try(self._backend.end, status)
            raise
        self.log_settings(folder)  # unless training did so; a resumed run may have none left
        results = flat(read_json(folder / METRICS), "test", ("scorer", "clusters"))
        self._try(self._backend.log_results, _numbers(results))
        names = (REPORT, METRICS, CONFIG, PLAN, SPLIT)
        files = [folder / name for name in names if (folder / name).is_file()]
        self._try(self._backend.save, [*files, *sorted((folder / PLOTS).glob("*.png"))], folder)
        self._try(self._backend.end, FINISHED)

    def log_settings(self, folder: Path) -> None:
        """Sends the settings and the plan of a new run, whose files must be there.

        A resumed run has them already, and MLflow refuses other values, such as a moved folder.
        """
        if self._is_new:
            self._is_new = False
            values = flat(read_json(folder / CONFIG)) | flat(
                read_json(folder / PLAN), "plan", ("reasons",)
            )
            known = {name: value for name, value in values.items() if value is not None}
            self._try(self._backend.log_settings, known)

    def log_epoch(self, record: Mapping[str, float | None]) -> None:
        """Sends one row of `history.csv`."""
        values = {name: value for name, value in record.items() if name != "epoch"}
        self._try(self._backend.log_epoch, _numbers(values), int(record["epoch"] or 0))

    def _try(self, call: Callable[..., None], *arguments: Any) -> None:
        if not self._works:
            return
        try:
            call(*arguments)
        except Exception as error:  # each library has its own
            self._works = False
            _LOGGER.warning(
                "%s no longer follows this run, which goes on: %s", self.name, _first_line(error)
            )


def choose_tracker(name: str | None, resumed: Path | None) -> Tracker | None:
    """The tracker that `--track` asks for; a resumed run goes on in its own.

    Args:
        name: in `BACKENDS`, or `none`; None if the flag was not given.
        resumed: the folder of the run to resume, if any.

    Raises:
        UsageError: if the package is missing, or the run was begun in another tracker.
        ArtefactError: if `tracker.json` is damaged.
    """
    if name == NONE:
        return None
    if resumed and (resumed / TRACKER).is_file():
        record = read_json(resumed / TRACKER)
        if record.get("tracker") not in BACKENDS or not isinstance(record.get("run"), str):
            raise ArtefactError(
                f"{resumed / TRACKER}: expected `tracker`, one of {', '.join(BACKENDS)}, and "
                f"`run`. Received: {record!r}"
            )
        if name not in (None, record["tracker"]):
            raise UsageError(
                f"--track must be {record['tracker']}, in which the run was begun, or none. "
                f"Received: {name}"
            )
        return Tracker(record["tracker"], record["run"])
    return Tracker(name) if name else None


def flat(values: Mapping[str, Any], prefix: str = "", without: Sequence[str] = ()) -> dict:
    """Nested values by one name each: {"a": {"b": 1}} becomes {"a/b": 1}.

    Args:
        values: as read from a JSON file.
        prefix: the first part of each name.
        without: keys of the first level that are left out.
    """
    result: dict[str, Any] = {}
    for key, value in values.items():
        # Trackers refuse most other characters in names.
        name = "/".join(filter(None, [prefix, re.sub(r"[^\w. :-]", "_", key)]))
        if key in without:
            continue
        if isinstance(value, Mapping):
            result |= flat(value, name)
        else:
            result[name] = value
    return result


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
