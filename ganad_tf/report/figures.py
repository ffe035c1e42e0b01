"""The pictures of a report, with their captions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ganad_tf.data.masks import Masks
from ganad_tf.data.splits import Splits
from ganad_tf.evaluation.test_set import OUR_MODEL
from ganad_tf.report import image_plots, plots
from ganad_tf.report.page_data import ReportFigure
from ganad_tf.scoring import MAP_COLOUR_RANGE, Detector
from ganad_tf.training.objectives import DISCRIMINATOR_LOSSES, GENERATOR_LOSSES

EXAMPLES = 10


def draw_figures(
    splits: Splits,
    detector: Detector,
    models: Mapping[str, Mapping[str, Any]],
    history: Sequence[Mapping[str, Any]],
    scores: Mapping[str, np.ndarray],
) -> dict[str, ReportFigure]:
    """Draws the pictures. Those about anomalies are left out if the test set has none.

    Args:
        splits: the data.
        detector: our model.
        models: model name -> what `evaluate` says of it.
        history: one record for each epoch.
        scores: model name -> test scores [N].

    Returns:
        File name, without suffix -> picture, in the order to show them.
    """
    test = splits.test
    metrics, own = models[OUR_MODEL], scores[OUR_MODEL]
    samples = _samples(splits, detector, own)
    figures = {}
    if splits.folder:
        outlines = " A blue line is the outline of the defect's mask." * bool(test.masks)
        if detector.scorer.pixel_threshold is not None:
            outlines += " A green line surrounds the pixels that are marked."
        figures["overlays"] = ReportFigure(
            "Where it looks",
            "Test images drawn at random, and the same with their anomaly maps over them. All "
            "share one colour scale, set by normal validation images, so a normal image "
            f"stays dark.{outlines}",
            image_plots.overlay_rows(*samples, MAP_COLOUR_RANGE),
        )
    figures["samples"] = ReportFigure(
        "What it sees",
        "Original, reconstruction and anomaly map of test images drawn at random. All maps "
        "share one colour scale, set by normal validation images.",
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
        "Each model at its own threshold. Those of the baselines are fitted on validation images "
        "alone, which may promise a higher rate of false alarms than ours.",
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
        "Every loss, averaged over each epoch, and the AUROC on validation images, if there are "
        "enough anomalies. The epoch with the highest AUROC is kept.",
        plots.training_curves(history, _curves(history), metrics["best_epoch"]),
    )
    return figures


def _samples(
    splits: Splits, detector: Detector, scores: np.ndarray
) -> tuple[image_plots.Samples, image_plots.Samples]:
    """Normal and anomalous test images, drawn at random; there may be no anomalous one."""
    test = splits.test
    normal, anomalous = image_plots.pick_examples(test.is_anomaly, test.kinds, EXAMPLES)
    drawn = np.concatenate([normal, anomalous])
    shown = detector.run(test.images[drawn], outputs=("anomaly_map", "reconstruction"))
    limit = detector.scorer.pixel_threshold
    marked = [] if limit is None else list(shown["anomaly_map"] > np.float32(limit))

    def samples(part: slice) -> image_plots.Samples:
        indices = drawn[part]
        return image_plots.Samples(
            test.images[indices],
            shown["reconstruction"][part],
            shown["anomaly_map"][part],
            [test.kind_names[kind] for kind in test.kinds[indices]],
            scores[indices],
            _outlines(test.masks, indices),
            marked[part],
        )

    return samples(slice(len(normal))), samples(slice(len(normal), None))


def _outlines(masks: Masks | None, indices: np.ndarray) -> list[np.ndarray | None]:
    """The mask of each defect; None for normal images and for defects without a mask."""
    if masks is None:
        return []
    return [masks[int(index)] if masks.known[index] else None for index in indices]


def _curves(history: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    def labels(names: Sequence[str]) -> dict[str, str]:
        return {name: name.replace("_", " ") for name in names}

    groups = {
        "Generator": labels(GENERATOR_LOSSES),
        "Discriminators": labels(DISCRIMINATOR_LOSSES),
    }
    if history[-1]["validation_auroc"] is not None:
        groups["Validation"] = {"validation_auroc": "AUROC"}
    return groups
