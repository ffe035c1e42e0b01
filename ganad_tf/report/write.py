"""Draws a run's plots and writes its report."""

import dataclasses
import platform
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf import __version__
from ganad_tf.atomic_files import replace_file
from ganad_tf.calibration.promises import describe_low_promise
from ganad_tf.calibration.thresholds import lowest_short_rate
from ganad_tf.command_names import command_name
from ganad_tf.data.splits import Splits
from ganad_tf.environment import installed_version
from ganad_tf.evaluation.false_alarms import expected_alarms, is_one_of
from ganad_tf.evaluation.test_set import OUR_MODEL, better_baselines
from ganad_tf.plan import Plan, learnt_from
from ganad_tf.report.figures import draw_figures
from ganad_tf.report.own_images import describe_own_data
from ganad_tf.report.page import write_report
from ganad_tf.report.page_data import ReportData
from ganad_tf.report.thresholds import describe_thresholds
from ganad_tf.run_folder import HISTORY, PLOTS, REPORT
from ganad_tf.scoring import Detector, Scorer
from ganad_tf.settings.names import CROSS_FITTED, ENCODER_COMPONENTS, TRAINED_COMPONENTS
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.training.history import read_history

PACKAGES = ("tensorflow", "keras", "numpy", "scikit-learn", "tensorflow-datasets")


@dataclasses.dataclass(frozen=True)
class EvaluatedRun:
    """Everything that a report is written from.

    Args:
        config: the run's settings.
        plan: of the run.
        splits: the data.
        detector: what was trained and fitted.
        metrics: what `metrics.json` will hold.
        scores: model name -> test scores [N]; `OUR_MODEL` is among them.
        command: the command line that began the run.
    """

    config: RunConfig
    plan: Plan
    splits: Splits
    detector: Detector
    metrics: dict[str, Any]
    scores: dict[str, np.ndarray]
    command: str


def write_run_report(folder: Path, run: EvaluatedRun) -> None:
    """Writes `plots/*.png` and `report.html` to a run folder."""
    history = read_history(folder / HISTORY)
    metrics = run.metrics
    models = {OUR_MODEL: metrics, **metrics["baselines"]}
    figures = draw_figures(run.splits, run.detector, models, history, run.scores)
    for file, figure in figures.items():
        with replace_file(folder / PLOTS / f"{file}.png") as temporary:
            figure.image.savefig(temporary, dpi=110)
    own = None
    learnt = learnt_from(run.plan, run.splits)
    if run.splits.folder:
        own = describe_own_data(
            learnt,
            run.splits.folder,
            run.detector,
            run.scores[OUR_MODEL],
            metrics["auroc_by_kind"],
        )
    counts = learnt.summary()["train"]
    scorer = metrics["scorer"]
    data = ReportData(
        title=_title(run),
        summary=_summary(run, counts),
        models=models,
        threshold_rule=scorer["threshold"],
        threshold_changes=_threshold_changes(folder, len(run.detector.scorer.normal_scores)),
        scorer=scorer["score"],
        scorer_why=scorer["why"],
        scorer_candidates=scorer["validation_auroc"],
        plan=_decisions(run.plan, run.config.balance),
        counts=_counts(run.splits),
        normal_kinds=[run.splits.normal_name],
        command=run.command,
        figures=list(figures.values()),
        facts=_facts(metrics, len(history)),
        config=run.config.to_dict(),
        versions={
            "ganad_tf": __version__,
            "Python": platform.python_version(),
            **{package: installed_version(package) for package in PACKAGES},
        },
        outlook=_outlook(run.detector.scorer, metrics, run.config.max_false_alarms),
        better=better_baselines(metrics),
        own=own,
        thresholds=describe_thresholds(
            run.splits.test,
            run.scores[OUR_MODEL],
            metrics["threshold"],
            run.detector.scorer.normal_scores,
            f"{_score_command(folder)} --threshold",
        ),
    )
    write_report(data, folder / REPORT)


def _title(run: EvaluatedRun) -> str:
    if run.config.data:
        return f"{Path(run.config.data).resolve().name}: normal images against the rest"
    return f"Fashion-MNIST: {run.splits.normal_name} against the rest"


def _summary(run: EvaluatedRun, counts: Mapping[str, int]) -> str:
    """What the score rests on, and what was learnt from.

    Args:
        run: the run.
        counts: numbers of `normal` and `anomaly` images that were learnt from.
    """
    images = (
        f"{counts['normal']:,} normal and {counts['anomaly']:,} labelled anomalous images "
        f"(protocol {run.splits.protocol!r})"
    )
    features = f"Frozen ImageNet features ({run.plan.encoder})"
    counting = {component.name for component in run.detector.scorer.components}
    has_features = not counting.isdisjoint(ENCODER_COMPONENTS)
    if has_features and counting.isdisjoint(TRAINED_COMPONENTS):
        return (
            f"{features} give the score, by distances that were fitted to {images}. The generator "
            "has no part in it; it only draws the reconstruction."
        )
    normal = "normal images look" if run.config.data else f"{run.splits.normal_name} looks"
    learnt = f"A dual-discriminator GAN learnt what {normal} like from {images}."
    return f"{learnt} {features} join its score." if has_features else learnt


def _decisions(plan: Plan, balance: str) -> dict[str, tuple[str, str]]:
    """Decision -> what was decided, and why."""
    share = f"{plan.synthetic_share:.0%}, of the kinds {', '.join(plan.synthetic_kinds)}"
    epochs = (str(plan.epochs), plan.reasons.get("epochs", ""))
    decisions = {
        "Learns from": (plan.reasons["learns_from"], ""),
        "Epochs": epochs,
        "Synthetic share of the anomalies": (share, plan.reasons["synthetic_share"]),
        "Score, if validation cannot compare": (
            plan.fallback_score,
            plan.reasons["fallback_score"],
        ),
        "Threshold": (plan.reasons["threshold"], plan.reasons.get("cross_fit", "")),
    }
    if plan.n_labelled:
        decisions["Groups of labelled anomalies"] = (_groups(plan, balance), "")
    if plan.shares:
        shares = ", ".join(f"{name} {share:.2g}" for name, share in plan.shares.items())
        decisions["Shares of the pretrained score"] = (shares, plan.reasons["shares"])
    return decisions


def _groups(plan: Plan, balance: str) -> str:
    if balance == "kind":
        return "their kinds"
    return "the best silhouette" if plan.n_clusters is None else f"{plan.n_clusters} clusters"


def _threshold_changes(folder: Path, n_normal: int) -> list[tuple[str, str]]:
    """(what for, command) pairs: how to set another threshold afterwards.

    Args:
        folder: of the run.
        n_normal: number of normal validation images.
    """
    rate = max(0.01, lowest_short_rate(n_normal))
    return [
        (
            "train again with a promised false-alarm rate",
            f"the command below with --max-false-alarms {rate:g} --overwrite",
        ),
        (
            "in this run, before export",
            f"{folder / 'detector' / 'scorer.json'}, field threshold",
        ),
        (
            "at scoring time, on the exported model",
            f"{_score_command(folder)} --threshold T",
        ),
    ]


def _score_command(folder: Path) -> str:
    return f"{command_name('score')} {shlex.quote(str(folder / 'model.onnx'))} IMAGES"


def _facts(metrics: dict[str, Any], epochs: int) -> dict[str, str]:
    minutes, seconds = divmod(round(metrics["training_seconds"]), 60)
    return {
        "Training time": f"{minutes} min {seconds} s",
        "Epochs": str(epochs),
        "Executed on": metrics["execution"],
        "Images scored per second": f"{metrics['scored_per_second']:.0f}",
        "Peak memory": f"{metrics['peak_memory_mb'] / 1024:.1f} GiB",
    }


def _counts(splits: Splits) -> dict[str, dict[str, int]]:
    counts = {part: values["kinds"] for part, values in splits.summary().items()}
    if splits.folder:
        unused = Counter(entry.kind for entry in splits.folder.unused)
        counts.update({"unused": unused} if unused else {})
    return counts


def _outlook(scorer: Scorer, metrics: dict, asked: float | None) -> str:
    """The false alarms to be expected at the threshold, and those observed in the test.

    Args:
        scorer: with its normal validation scores.
        metrics: of the run.
        asked: the rate of `--max-false-alarms`, if it was given.
    """
    rate, alarms, images = (
        metrics["expected_false_alarm_rate"],
        metrics["confusion"]["fp"],
        metrics["n_normal"],
    )
    counts = metrics["scorer"]
    crossed = counts.get(CROSS_FITTED, 0)
    low, high = expected_alarms(scorer.normal_scores, scorer.threshold, images, rate["confidence"])
    sentences = [
        f"Expected on new normal images: {rate['mean']:.1%} false alarms, with "
        f"{rate['confidence']:.0%} confidence between {rate['low']:.1%} and {rate['high']:.1%}, "
        f"as the threshold rests on {len(scorer.normal_scores):,} normal "
        f"{'' if crossed else 'validation '}images."
    ]
    if crossed:
        sentences.append(
            f"{crossed:,} of them are training images, each measured by features that were fitted "
            "without it. Such a promise is less strict than that of held-out images."
        )
    sentences.append(
        f"Observed in the test: {alarms:,} of {images:,} ({metrics['false_alarm_rate']:.1%}); "
        f"between {low:,} and {high:,} were to be expected."
    )
    if asked is None and (
        low_promise := describe_low_promise(
            counts["normal_images"] - crossed, crossed, counts["anomalous_images"]
        )
    ):
        sentences.append(f"Few images: {low_promise}.")
    if not low <= alarms <= high:
        sentences.append(
            "The test images seem to differ from those that the threshold rests on, or it is "
            "overfitted to them."
        )
    if metrics.get("input_shift"):
        sentences.append(f"Of the normal test images, {metrics['input_shift']}.")
    if not is_one_of(scorer.normal_scores, scorer.threshold):
        sentences.append(
            "The threshold was chosen on the same validation images, which the interval does not "
            "account for. A threshold from --max-false-alarms does not have this problem."
        )
    return " ".join([*sentences, *_mask_outlook(scorer, metrics)])


def _mask_outlook(scorer: Scorer, metrics: dict) -> list[str]:
    """Normal images with a marked pixel: how many to expect, and how many the test has."""
    if scorer.pixel_threshold is None:
        return []
    rate = metrics["expected_marked_normal_rate"]
    return [
        f"A pixel is marked where the anomaly map is above {scorer.pixel_threshold:.4g} "
        f"({scorer.explanation['pixel_threshold']}). Expected on new normal images: "
        f"{rate['mean']:.1%} with a marked pixel, with {rate['confidence']:.0%} confidence between "
        f"{rate['low']:.1%} and {rate['high']:.1%}. Observed in the test: "
        f"{metrics['marked_normal_rate']:.1%}."
    ]
