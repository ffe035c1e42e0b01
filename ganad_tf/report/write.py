"""Draws a run's plots and writes its report."""

import platform
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ganad_tf import __version__
from ganad_tf.atomic_files import replace_file
from ganad_tf.data.folder.load import FolderSplits
from ganad_tf.data.splits import Splits
from ganad_tf.evaluation.false_alarms import expected_alarms, is_one_of
from ganad_tf.report import image_plots, plots
from ganad_tf.report.own_images import describe_own_data, masks_of
from ganad_tf.report.page import ReportData, ReportFigure, write_report
from ganad_tf.scoring import MAP_COLOUR_RANGE, Detector, Scorer
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.training.model import DISCRIMINATOR_LOSSES, GENERATOR_LOSSES

EXAMPLES = 10
PACKAGES = ("tensorflow", "keras", "numpy", "scikit-learn", "tensorflow-datasets")


def write_run_report(
    folder: Path,
    config: RunConfig,
    splits: Splits,
    detector: Detector,
    metrics: dict,
    history: list[dict],
    scores: dict[str, np.ndarray],
    command: str,
) -> None:
    """Writes `plots/*.png` and `report.html`.

    Args:
        folder: the run folder.
        config: the run's settings.
        splits: the data.
        detector: what was trained and fitted.
        metrics: what `metrics.json` will hold.
        history: one record for each epoch.
        scores: model name -> test scores; the detector's own first.
        command: the command line that made the run.
    """
    name = next(iter(scores))
    models = {name: metrics, **metrics["baselines"]}
    figures = _figures(splits, detector, models, history, scores)
    for file, figure in figures.items():
        with replace_file(folder / "plots" / f"{file}.png") as temporary:
            figure.image.savefig(temporary, dpi=110)
    scorer = metrics["scorer"]
    minutes, seconds = divmod(round(metrics["training_seconds"]), 60)
    own = None
    if isinstance(splits, FolderSplits):
        own = describe_own_data(
            splits,
            detector.predict,
            scores[name],
            metrics["threshold"],
            metrics["auroc_by_kind"],
            MAP_COLOUR_RANGE,
        )
    data = ReportData(
        title=f"{_data_name(config)}: {splits.normal_name} against the rest",
        summary=(
            f"A dual-discriminator GAN learnt what {splits.normal_name} looks like from "
            f"{splits.summary()['train']['normal']:,} normal and "
            f"{splits.summary()['train']['anomaly']:,} labelled anomalous images "
            f"(protocol {splits.protocol!r})."
        ),
        models=models,
        threshold_rule=scorer["threshold"],
        threshold_changes=[
            (
                "train again with a promised false-alarm rate",
                "the command below with --max-false-alarms 0.01 --overwrite",
            ),
            (
                "in the scorer of this run",
                f"{folder / 'detector' / 'scorer.json'}, field threshold",
            ),
            ("at scoring time, on the exported model", "export/runtime.py --threshold T"),
        ],
        scorer=scorer["score"],
        scorer_why=scorer["why"],
        scorer_candidates=scorer["validation_auroc"],
        counts=_counts(splits),
        normal_kinds=[splits.normal_name],
        command=command,
        figures=list(figures.values()),
        facts={
            "Training time": f"{minutes} min {seconds} s",
            "Epochs": str(len(history)),
            "Executed on": metrics["execution"],
            "Images scored per second": f"{metrics['scored_per_second']:.0f}",
            "Peak memory": f"{metrics['peak_memory_mb'] / 1024:.1f} GiB",
        },
        config=config.to_dict(),
        versions={
            "ganad_tf": __version__,
            "Python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
        },
        outlook=_outlook(detector.scorer, metrics),
        own=own,
    )
    write_report(data, folder / "report.html")


def _data_name(config: RunConfig) -> str:
    return Path(config.data).resolve().name if config.data else "Fashion-MNIST"


def _counts(splits: Splits) -> dict[str, dict[str, int]]:
    counts = {part: values["kinds"] for part, values in splits.summary().items()}
    if isinstance(splits, FolderSplits):
        unused = Counter(entry.kind for entry in splits.entries if entry.part == "unused")
        counts.update({"unused": unused} if unused else {})
    return counts


def _outlook(scorer: Scorer, metrics: dict) -> str:
    """The false alarms that the threshold should raise, beside those that it did raise."""
    rate, alarms, images = (
        metrics["expected_false_alarm_rate"],
        metrics["confusion"]["fp"],
        metrics["n_normal"],
    )
    low, high = expected_alarms(scorer.normal_scores, scorer.threshold, images, rate["confidence"])
    sentences = [
        f"Expected on new normal images: {rate['mean']:.1%} false alarms, with "
        f"{rate['confidence']:.0%} confidence between {rate['low']:.1%} and {rate['high']:.1%}, "
        f"as the threshold rests on {len(scorer.normal_scores):,} normal validation images.",
        f"Observed in the test: {alarms:,} of {images:,} ({metrics['false_alarm_rate']:.1%}); "
        f"from {low:,} to {high:,} would be in keeping with that.",
    ]
    if not low <= alarms <= high:
        sentences.append(
            "The test images seem to differ from the validation images, or the threshold fits "
            "these too closely."
        )
    if not is_one_of(scorer.normal_scores, scorer.threshold):
        sentences.append(
            "The threshold was chosen on the same validation images, which the range does not "
            "allow for; one from a promised false-alarm rate has no such doubt."
        )
    return " ".join(sentences)


def _figures(splits, detector, models, history, scores) -> dict[str, ReportFigure]:
    """The pictures by file name; those about anomalies only if there were any to test with."""
    test = splits.test
    name = next(iter(scores))
    metrics, own = models[name], scores[name]
    samples = _samples(splits, detector, own)
    figures = {}
    if isinstance(splits, FolderSplits):
        outlines = " The blue line is the outline of the defect's mask." * bool(splits.masks)
        figures["overlays"] = ReportFigure(
            "Where it looks",
            "Test images drawn by chance, and the same with their anomaly maps over them. All "
            "share one colour scale, fixed by normal validation images, so that a normal image "
            f"stays cool.{outlines}",
            image_plots.overlay_rows(*samples, MAP_COLOUR_RANGE),
        )
    figures["samples"] = ReportFigure(
        "What it sees",
        "Original, reconstruction and anomaly map of test images drawn by chance. All maps "
        "share one colour scale, fixed by normal validation images.",
        image_plots.sample_rows(*samples, MAP_COLOUR_RANGE),
    )
    figures["histogram"] = ReportFigure(
        "Scores and threshold",
        "Scores of the test images. 0 is a typical normal image; the threshold was set "
        "before the test set was read.",
        plots.score_histogram(own, test.is_anomaly, metrics["threshold"]),
    )
    if metrics["n_anomaly"]:
        figures["roc"] = ReportFigure(
            "ROC",
            "Anomalies found against false alarms, over all thresholds.",
            plots.roc_curves(
                {model: (test.is_anomaly, values) for model, values in scores.items()}
            ),
        )
        figures["kinds"] = ReportFigure(
            "Kind by kind",
            "AUROC of each kind of anomaly against all normal test images.",
            plots.kind_aurocs(metrics["auroc_by_kind"], metrics["auroc"]),
        )
    figures["confusion"] = ReportFigure(
        "Decisions at the threshold",
        "Each model at its own threshold, fitted on validation images.",
        plots.confusion_matrices({model: m["confusion"] for model, m in models.items()}),
    )
    figures["mistakes"] = ReportFigure(
        "Worst mistakes",
        "The normal images with the highest scores and the anomalies with the lowest.",
        image_plots.worst_mistakes(
            test.images,
            own,
            test.is_anomaly,
            test.kinds,
            test.kind_names,
            metrics["threshold"],
            EXAMPLES,
        ),
    )
    figures["training"] = ReportFigure(
        "Training",
        "Every loss, averaged over each epoch, and, where there are enough anomalies for it, the "
        "AUROC on validation images, by which the epoch is chosen.",
        plots.training_curves(history, _curves(history), metrics["best_epoch"]),
    )
    return figures


def _samples(splits, detector, scores) -> tuple[image_plots.Samples, image_plots.Samples]:
    """Normal and anomalous test images, drawn by chance; of the latter there may be none."""
    test = splits.test
    normal, anomalous = image_plots.pick_examples(test.is_anomaly, test.kinds, EXAMPLES)
    drawn = np.concatenate([normal, anomalous])
    shown = detector.predict(test.images[drawn], outputs=("anomaly_map", "reconstruction"))

    def samples(part: slice):
        indices = drawn[part]
        return image_plots.Samples(
            test.images[indices],
            shown["reconstruction"][part],
            shown["anomaly_map"][part],
            [test.kind_names[kind] for kind in test.kinds[indices]],
            scores[indices],
            masks_of(splits, indices) if isinstance(splits, FolderSplits) else (),
        )

    return samples(slice(len(normal))), samples(slice(len(normal), None))


def _curves(history) -> dict[str, dict[str, str]]:
    def labels(names):
        return {name: name.replace("_", " ") for name in names}

    groups = {
        "Generator": labels(GENERATOR_LOSSES),
        "Discriminators": labels(DISCRIMINATOR_LOSSES),
    }
    if history[-1]["validation_auroc"] is not None:
        groups["Validation"] = {"validation_auroc": "AUROC"}
    return groups
