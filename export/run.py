"""A finished run's detector and the images it was made with, as the commands here load them."""

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from ganad_tf.atomic_files import is_unfinished, read_json, remove_unfinished
from ganad_tf.command_names import command_name
from ganad_tf.errors import ArtefactError
from ganad_tf.folder_lock import locked
from ganad_tf.run_folder import (
    DETECTOR,
    PLAN,
    check_same_split,
    is_finished,
    load_config,
    moved,
    with_own_split,
)

if TYPE_CHECKING:
    from ganad_tf.data.splits import Splits
    from ganad_tf.scoring import Detector
    from ganad_tf.settings.run_config import RunConfig


def add_source_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say where a run's images are now."""
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        help="the run's own images, if they were moved (default: where they were in training)",
    )
    parser.add_argument("--data-dir", type=Path, help="where TFDS keeps prepared data")
    parser.add_argument("--idx-dir", type=Path, help="folder with Fashion-MNIST's four IDX files")


def load_run(run: Path, flags: argparse.Namespace) -> "tuple[Detector, Splits]":
    """Loads the detector of a finished run, and the images that it learnt from and was tested on.

    Own images are split as the run's split.csv says. Images that were added to the folder since
    then are ignored, so a run can still be exported when its folder has grown. Labelled anomalies
    that were not learnt from, because all were synthetic, are left out of the training part.

    Args:
        run: the run folder.
        flags: with `data`, `data_dir` and `idx_dir`, see `add_source_flags`.

    Raises:
        ArtefactError: if the run is missing or unfinished, or the images are not the run's.
        UsageError: if `--data` is given for a run on Fashion-MNIST, or if another process is
            replacing the detector.
    """
    from ganad_tf.data.image_statistics import fit_ranges
    from ganad_tf.scoring import Detector

    config = _finished_config(run, flags.data)
    _put_back_detector(run)
    detector = Detector.load(run)
    splits = _load_splits(run, config, flags, detector)
    ranges = detector.image_ranges
    # A run of an earlier version. Those of a recalibration came from other images.
    if ranges is None or ("sample" not in ranges and ranges.get("source") != "recalibration"):
        detector.image_ranges = fit_ranges(splits.train)
    return detector, splits


def load_splits_of(run: Path, flags: argparse.Namespace, detector: "Detector") -> "Splits":
    """The images of a finished run whose detector is loaded already; see `load_run`."""
    return _load_splits(run, _finished_config(run, flags.data), flags, detector)


def _put_back_detector(run: Path) -> None:
    """Gives the detector its place again, if a killed process had put it aside."""
    # Otherwise nothing is locked or changed, so a run that can only be read will do.
    if not (run / DETECTOR).is_dir() and any(is_unfinished(path.name) for path in run.iterdir()):
        with locked(run):
            remove_unfinished(run)


def _finished_config(run: Path, data: str | None) -> "RunConfig":
    """The settings of a finished run, with its images where they are now."""
    config = load_config(run)
    if not is_finished(run):
        raise ArtefactError(
            f"{run}: expected a finished run ({command_name('train')} --resume finishes it). "
            "Received: no metrics.json"
        )
    return with_own_split(moved(config, data), run)


def _load_splits(
    run: Path, config: "RunConfig", flags: argparse.Namespace, detector: "Detector"
) -> "Splits":
    from ganad_tf.data.load import Source, load_splits
    from ganad_tf.plan import Plan, learnt_from

    if config.data:
        # Where the settings leave them open, they followed from all images that were there then.
        size, _, channels = detector.image_shape
        config = dataclasses.replace(config, image_size=size, channels=channels)
    splits = load_splits(config, Source(flags.data_dir, flags.idx_dir))
    check_same_split(run, splits.fingerprint)
    if not (run / PLAN).is_file():  # a run of an earlier version
        return splits
    return learnt_from(Plan.from_dict(read_json(run / PLAN)), splits)
