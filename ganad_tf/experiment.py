"""One experiment from data to report: what `train.py` calls."""

import csv
import dataclasses
import platform
import re
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from ganad_tf.atomic_files import read_json, replace_file, write_json
from ganad_tf.baselines import score_baselines
from ganad_tf.data.fashion_mnist.load import load_fashion_mnist
from ganad_tf.data.fashion_mnist.protocols import parse_class, split_one_class
from ganad_tf.data.folder.load import FolderSplits, load_folder, load_masks
from ganad_tf.data.folder.split_file import write_split
from ganad_tf.data.splits import Splits
from ganad_tf.errors import Interrupted, UsageError
from ganad_tf.evaluation.false_alarms import expected_rate
from ganad_tf.evaluation.localisation import localise
from ganad_tf.evaluation.metrics import evaluate
from ganad_tf.report.write import write_run_report
from ganad_tf.run_folder import METRICS, SPLIT, check_same_split, create_run, is_finished
from ganad_tf.scoring import Detector, conformal_threshold, fit_detector
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.training.devices import Execution, worker_index
from ganad_tf.training.history import best_epoch, read_history
from ganad_tf.training.train import BEST, CHECKPOINT, CLUSTERS, scoring_generator, train
from ganad_tf.training.workers import weights_digest

# Flags that say where, not what: config.json does not hold them.
NOT_KEPT = ("--data-dir", "--idx-dir", "--devices")


@dataclasses.dataclass(frozen=True)
class Source:
    """Where Fashion-MNIST comes from; see `load_fashion_mnist`."""

    data_dir: Path | None = None
    idx_dir: Path | None = None


def default_folder(config: RunConfig, normal_name: str) -> Path:
    """`runs/fashion_mnist-sneaker`, and whatever tells this run from a plain one."""
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


def load_splits(config: RunConfig, source: Source) -> Splits:
    """Loads the images that the configuration names, and splits them.

    Args:
        config: with `data`, a folder of images; without, a class of Fashion-MNIST.
        source: where Fashion-MNIST comes from.
    """
    if config.data:
        return load_folder(
            Path(config.data),
            config.image_size,
            config.channels,
            config.seed,
            config.validation_fraction,
            config.test_fraction,
            config.skip_bad,
            split_file=Path(config.split) if config.split else None,
            learn_anomalies=config.protocol != "none",
            fit=config.fit,
        )
    train_images, test_images = load_fashion_mnist(source.data_dir, source.idx_dir)
    side = max(train_images.images.shape[1:3])
    if side > config.image_size:
        raise UsageError(
            f"--image-size must be at least {side}, the images' size. Received: {config.image_size}"
        )
    names = train_images.kind_names
    return split_one_class(
        train_images,
        test_images,
        parse_class(config.normal, names),
        config.protocol,
        None if config.known is None else parse_class(config.known, names),
        config.anomalies,
        config.validation_fraction,
        config.seed,
    )


def run_experiment(
    config: RunConfig,
    execution: Execution,
    source: Source,
    command: str,
    output: Path | None = None,
    resume: Path | None = None,
    overwrite: bool = False,
) -> tuple[Path, dict]:
    """Trains, fits the scorer on validation data, and reads the test set once, to report.

    Args:
        config: the run's settings.
        execution: device, precision and compilation.
        source: where the data comes from.
        command: the command line, for the report.
        output: the new run's folder; see the README for its files (default: `default_folder`).
        resume: the folder of the run to go on with, instead of a new one.
        overwrite: replace an earlier run in `output`.

    Returns:
        The run folder, and what its `metrics.json` holds; nothing on a worker that is not the
        first, which only helps to train.

    Raises:
        UsageError, DataError, ArtefactError, TrainingError: as their names say.
        Interrupted: on Ctrl-C; the run can be resumed.
    """
    # Data first: a mistake in the data flags must not leave or destroy a run folder.
    splits = load_splits(config, source)
    if config.max_false_alarms is not None:
        # A rate that so few images cannot promise is refused here, not after the training.
        normals = np.count_nonzero(~splits.validation.is_anomaly)
        conformal_threshold(np.zeros(normals), config.max_false_alarms)
    folder = resume or output or default_folder(config, splits.normal_name)
    index, workers = worker_index()
    if config.batch_size % (2 * workers):
        raise UsageError(
            f"--batch-size must be a multiple of {2 * workers} for {workers} workers. "
            f"Received: {config.batch_size}"
        )
    if resume and (folder / SPLIT).is_file():  # else it stopped before it had learnt anything
        check_same_split(folder, splits.fingerprint)
    if index:
        _help_train(config, execution, splits, folder, resume, index, workers)
        return folder, {}
    if not resume:
        create_run(folder, config, overwrite)
    print(f"run folder {folder}", flush=True)
    if is_finished(folder):
        print("this run is finished already")
        return folder, read_json(folder / METRICS)
    try:
        return folder, _run(config, execution, splits, folder, command)
    except KeyboardInterrupt:
        advice = f"stopped; go on with: python train.py --resume {folder}"
        if again := [flag for flag in NOT_KEPT if flag in command]:
            advice += f" and the same {' '.join(again)}"
        raise Interrupted(advice) from None


def _help_train(config, execution, splits, folder, resume, index, workers) -> None:
    """The part of a worker that is not the chief: it trains, and what it writes is thrown away."""
    with tempfile.TemporaryDirectory() as scratch:
        model = train(config, splits, execution, Path(scratch), resume)
        model.save(Path(scratch) / "model.keras")  # saving may need values from all workers
    print(f"worker {index} of {workers} is done; worker 0 reports in {folder}; weights ", end="")
    print(weights_digest(model), flush=True)


def _run(config, execution, splits, folder, command) -> dict:
    write_json(
        folder / SPLIT,
        {
            "normal": splits.normal_name,
            "protocol": splits.protocol,
            "fingerprint": splits.fingerprint,
            "counts": splits.summary(),
        },
    )
    if isinstance(splits, FolderSplits):
        write_split(splits.entries, folder / "split.csv")
    model = train(config, splits, execution, folder)
    with replace_file(folder / "model.keras") as temporary:
        model.save(temporary)
    if worker_index()[1] > 1:
        print(f"worker 0 is done; weights {weights_digest(model)}", flush=True)
    print("fitting the scorer on validation images", flush=True)
    detector = fit_detector(
        scoring_generator(model),
        splits.train,
        splits.validation,
        config.score,
        config.max_false_alarms,
        config.seed,
        all_kinds_known=config.all_kinds_known(splits.protocol),
        uncompared=config.uncompared_score(splits.protocol, splits.labelled, splits.masked),
        head_trained=config.loss_weights.feature_abc > 0,
        image_fit=config.fit,
    )
    detector.save(folder / "detector")
    write_json(folder / "calibration.json", detector.scorer.calibration())
    return _report(config, splits, detector, execution, folder, command)


def _report(config, splits, detector: Detector, execution, folder, command) -> dict:
    print(f"scoring {len(splits.test)} test images", flush=True)
    began = time.monotonic()
    results = detector.predict(splits.test.images)
    per_second = len(splits.test) / (time.monotonic() - began)
    _write_scores(folder / "scores.csv", splits, results)
    scores = {"dual-discriminator GAN": (results["score"], detector.scorer.threshold)}
    if config.baselines:
        scores.update(score_baselines(config, splits))
    test = splits.test
    models = {
        name: evaluate(values, test.is_anomaly, test.kinds, test.kind_names, threshold)
        for name, (values, threshold) in scores.items()
    }
    history = read_history(folder / "history.csv")
    metrics = {
        **next(iter(models.values())),
        "expected_false_alarm_rate": expected_rate(
            detector.scorer.normal_scores, detector.scorer.threshold
        ),
        **_localisation(splits, detector),
        "scorer": detector.scorer.explanation,
        "baselines": {name: models[name] for name in list(models)[1:]},
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
    write_run_report(
        folder,
        config,
        splits,
        detector,
        metrics,
        history,
        {name: values for name, (values, _) in scores.items()},
        command,
    )
    # The last two: metrics.json says that the run is whole, then nothing is left to resume.
    write_json(folder / METRICS, metrics)
    for file in (CHECKPOINT, BEST):
        (folder / file).unlink(missing_ok=True)
    return metrics


def _localisation(splits: Splits, detector: Detector) -> dict[str, float | None]:
    """How well the maps show the places of defects; None where no masks are known."""
    if not isinstance(splits, FolderSplits) or not splits.masks:
        return {"pixel_auroc": None, "aupro": None}

    def maps_of(images):
        return detector.predict(images, outputs=("anomaly_map",))["anomaly_map"]

    measured = localise(maps_of, splits.test.images, *load_masks(splits))
    return {"pixel_auroc": measured.pixel_auroc(), "aupro": measured.aupro()}


def _write_scores(path: Path, splits: Splits, results: dict[str, np.ndarray]) -> None:
    test = splits.test
    paths = splits.paths("test") if isinstance(splits, FolderSplits) else None
    with (
        replace_file(path) as temporary,
        # Names on disk need not be UTF-8.
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file)
        columns = ["index", "class", "label", "score", "probability", "is_anomaly"]
        writer.writerow([*columns, "path"] if paths else columns)
        for i in range(len(test)):
            writer.writerow(
                [
                    i,
                    test.kind_names[test.kinds[i]],
                    int(test.is_anomaly[i]),
                    f"{results['score'][i]:.7g}",
                    f"{results['probability'][i]:.7g}",
                    int(results["is_anomaly"][i]),
                    *([paths[i]] if paths else []),
                ]
            )
