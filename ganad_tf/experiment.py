"""One experiment: load, plan, train, fit, evaluate, report. What `ganad train` calls."""

import contextlib
import dataclasses
import logging
import platform
import resource
import tempfile
from pathlib import Path
from typing import Any

from ganad_tf.atomic_files import read_json, replace_file, write_json
from ganad_tf.baselines import score_baselines, score_neighbours
from ganad_tf.data.fashion_mnist.classes import CLASSES, parse_class
from ganad_tf.data.folder.split_file import write_split
from ganad_tf.data.image_statistics import describe_shift
from ganad_tf.data.load import Source, load_splits
from ganad_tf.data.splits import Splits
from ganad_tf.errors import Interrupted
from ganad_tf.evaluation.test_set import (
    OUR_MODEL,
    Scored,
    evaluate_models,
    score_test_set,
    write_scores,
)
from ganad_tf.folder_lock import locked
from ganad_tf.networks import EfficientNetLite0, load_efficientnet_lite0
from ganad_tf.plan import Plan, make_plan
from ganad_tf.report.write import EvaluatedRun, write_run_report
from ganad_tf.run_folder import (
    BEST,
    CHECKPOINT,
    CLUSTERS,
    COMMAND,
    DETECTOR,
    HISTORY,
    METRICS,
    MODEL,
    SCORES,
    SPLIT,
    SPLIT_TABLE,
    START,
    check_new,
    check_new_for_helper,
    check_same_split,
    create_run,
    default_folder,
    how_begun,
    is_finished,
    remove_left_over,
    resume_advice,
)
from ganad_tf.scoring import Detector, fit_detector, fit_encoder
from ganad_tf.scoring.encoder_features import EncoderFeatures
from ganad_tf.settings.names import NO_ENCODER
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.training.build import scoring_generator
from ganad_tf.training.devices import Execution, worker_index
from ganad_tf.training.history import best_epoch, read_history
from ganad_tf.training.start import describe_start, load_enlarged, load_resumed
from ganad_tf.training.train import train
from ganad_tf.training.workers import weights_digest

_LOGGER = logging.getLogger(__name__)


def run_experiment(
    config: RunConfig,
    execution: Execution,
    source: Source,
    command: str,
    output: Path | None = None,
    resume: Path | None = None,
    overwrite: bool = False,
    start: Path | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Trains, fits the scorer on validation data, and reads the test set once, to report.

    There are more than seven arguments because each is a flag.

    Args:
        config: the run's settings.
        execution: device, precision and compilation.
        source: where Fashion-MNIST comes from.
        command: the command line, for the report.
        output: the new run's folder; see docs/run_folder.md (default: `default_folder`).
        resume: the folder of the run to continue, instead of a new one.
        overwrite: replace an earlier run in `output`.
        start: the finished run whose weights a new run begins with, and whose images keep their
            part.

    Returns:
        The run folder, and the content of its `metrics.json`; an empty one on workers other than
        the first, which only help to train.

    Raises:
        UsageError, DataError, ArtefactError, TrainingError: see `ganad_tf.errors`.
        Interrupted: on Ctrl-C; the run can be resumed.
    """
    index, _ = worker_index()
    folder = resume or output or default_folder(config, _normal_class(config))
    # Told before images are decoded. Nothing is written before they are, so that a mistake in their
    # flags neither leaves nor destroys a run folder.
    begin = None if start is None else describe_start(start, folder)
    if resume:
        splits = load_resumed(config, source, resume)
    else:
        (check_new_for_helper if index else check_new)(folder, overwrite)
        splits = load_enlarged(config, source, start) if start else load_splits(config, source)
    if config.data:  # what was found in the images; kept, so that a resumed run has the same
        size, _, channels = splits.image_shape
        config = dataclasses.replace(
            config, image_size=size, channels=channels, bit_depth=splits.bit_depth
        )
    plan = make_plan(config, splits)
    encoder = pretrained_encoder(config)  # fails now, not after training, if its weights are wrong
    if resume and (folder / SPLIT).is_file():  # else the run was stopped before training
        check_same_split(folder, splits.fingerprint)
    features, finished = None, resume is not None and is_finished(folder)
    if not finished:
        # It refuses rates that the images cannot promise, before an earlier run is replaced.
        plan, features = fit_encoder(config, plan, splits, encoder)
    if index:
        # What ends worker 0 must end the others; they would wait for it for ever.
        if finished:
            _LOGGER.info("this run is finished already")
            return folder, {}
        _help_train(config, plan, splits, execution, (folder, resume), begin)
        return folder, {}
    tracker = execution.tracker
    with locked(folder):
        if tracker and not (resume and is_finished(folder)):
            tracker.start(folder.resolve().name)  # first: nothing is written yet if it fails
        if not resume:
            create_run(folder, config, overwrite, begin)
            write_json(folder / COMMAND, {"command": command, "precision": execution.precision})
        remove_left_over(folder)
        _LOGGER.info("run folder %s", folder)
        if is_finished(folder):
            _LOGGER.info("this run is finished already")
            return folder, read_json(folder / METRICS)
        # A command with --resume repeats nothing.
        first = how_begun(folder).get("command", command)
        try:
            with tracker.following(folder) if tracker else contextlib.nullcontext():
                return folder, _run(config, plan, splits, features, execution, folder, first)
        except KeyboardInterrupt:
            raise Interrupted(resume_advice(config, folder, command)) from None


def _normal_class(config: RunConfig) -> str:
    """The name of the normal class of Fashion-MNIST; empty for own images."""
    return "" if config.data else CLASSES[parse_class(config.normal, CLASSES)]


def _help_train(
    config: RunConfig,
    plan: Plan,
    splits: Splits,
    execution: Execution,
    folders: tuple[Path, Path | None],
    begin: dict[str, Any] | None,
) -> None:
    """What a worker other than the first does: it trains and discards its files."""
    index, workers = worker_index()
    folder, resume = folders
    with tempfile.TemporaryDirectory() as scratch:
        if begin:
            write_json(Path(scratch) / START, begin)
        model = train(config, plan, splits, execution, Path(scratch), resume)
        model.save(Path(scratch) / MODEL)  # saving may need values from all workers
    _LOGGER.info(
        "worker %d of %d is done; worker 0 reports in %s; weights %s",
        *(index, workers, folder, weights_digest(model)),
    )


def _run(
    config: RunConfig,
    plan: Plan,
    splits: Splits,
    features: EncoderFeatures | None,
    execution: Execution,
    folder: Path,
    command: str,
) -> dict[str, Any]:
    # The table comes first: killed in between, the run can still be resumed with this split.
    if splits.folder:
        write_split(splits.folder.entries, folder / SPLIT_TABLE)
    write_json(
        folder / SPLIT,
        {
            "normal": splits.normal_name,
            "protocol": splits.protocol,
            "fingerprint": splits.fingerprint,
            "counts": splits.summary(),
        },
    )
    detector = train_detector(config, plan, splits, features, execution, folder)
    detector.save(folder / DETECTOR)
    return _report(config, plan, splits, detector, execution, folder, command)


def train_detector(
    config: RunConfig,
    plan: Plan,
    splits: Splits,
    features: EncoderFeatures | None,
    execution: Execution,
    folder: Path,
) -> Detector:
    """Trains the networks and fits the detector; for a run and for `ganad_tf.train` alike.

    Args:
        config: the run's settings.
        plan: of the run, as settled by `fit_encoder`.
        splits: the data; the test part is not read.
        features: of `fit_encoder`.
        execution: device, precision and compilation.
        folder: gets the files of training; see `ganad_tf.training.train.train`.
    """
    model = train(config, plan, splits, execution, folder)
    with replace_file(folder / MODEL) as temporary:
        model.save(temporary)
    if worker_index()[1] > 1:
        _LOGGER.info("worker 0 is done; weights %s", weights_digest(model))
    _LOGGER.info("fitting the scorer on validation images")
    return fit_detector(scoring_generator(model), splits, plan, features)


def pretrained_encoder(config: RunConfig) -> EfficientNetLite0 | None:
    """The network that the settings name, with its weights; None for a score without one."""
    if config.encoder == NO_ENCODER:
        return None
    return load_efficientnet_lite0(Path(config.encoder_weights) if config.encoder_weights else None)


def _report(
    config: RunConfig,
    plan: Plan,
    splits: Splits,
    detector: Detector,
    execution: Execution,
    folder: Path,
    command: str,
) -> dict[str, Any]:
    _LOGGER.info("scoring %d test images", len(splits.test))
    results, per_second = score_test_set(detector, splits.test)
    write_scores(folder / SCORES, splits.test, results)
    shift = describe_shift(detector.image_ranges, splits.test)
    if shift:
        _LOGGER.warning("normal test images: %s", shift)
    models = {OUR_MODEL: Scored(results["score"], detector.scorer.threshold)}
    if splits.folder:
        models |= score_neighbours(plan, splits, detector.measurer.encoder)
    if config.baselines:
        models |= score_baselines(config, plan, splits)
    history = read_history(folder / HISTORY)
    metrics = {
        **evaluate_models(models, detector, splits.test, results["peak"]),
        "scorer": detector.scorer.explanation,
        "input_shift": shift or None,
        "normal": splits.normal_name,
        "protocol": splits.protocol,
        "fingerprint": splits.fingerprint,
        "images_seen": len(history) * config.steps_per_epoch * config.batch_size,
        "clusters": read_json(folder / CLUSTERS),
        "best_epoch": best_epoch(history),
        "training_seconds": history[-1]["seconds"],
        "scored_per_second": per_second,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
        "execution": execution.reason,
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
    }
    scores = {name: model.scores for name, model in models.items()}
    run = EvaluatedRun(config, plan, splits, detector, metrics, scores, command)
    write_run_report(folder, run)
    # metrics.json marks the run as complete, so it comes last. The checkpoint is not needed then.
    write_json(folder / METRICS, metrics)
    for file in (CHECKPOINT, BEST):
        (folder / file).unlink(missing_ok=True)
    return metrics
