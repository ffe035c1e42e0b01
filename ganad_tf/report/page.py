"""One self-contained HTML page about a run. It loads no other file."""

import base64
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from ganad_tf.atomic_files import replace_file
from ganad_tf.report.page_data import ReportData
from ganad_tf.report.thresholds import MAX_KINDS

_COLUMNS = (
    # (key in `evaluate`'s result, heading, is higher better)
    ("auroc", "AUROC", True),
    ("average_precision", "Average precision", True),
    ("fpr_at_95_tpr", "False alarms at 95 % found", False),
    ("recall", "Anomalies found", True),
    ("false_alarm_rate", "False alarms", False),
    ("f1", "F1", True),
)
_AREAS = ("auroc", "average_precision", "f1")
# More files would bury the rest of the page. Usable ones are all in split.csv.
MAX_NAMED = 40


@dataclass(frozen=True)
class Headline:
    """A figure worth a card of its own: its name, its value, and what that means."""

    name: str
    value: str
    meaning: str


def write_report(data: ReportData, path: str | os.PathLike) -> None:
    """Writes the report to `path`, whole or not at all.

    Raises:
        OSError: if the file can't be written.
    """
    html = render_report(data)
    with replace_file(path) as temporary:
        # Names on disk need not be UTF-8; a page must be.
        temporary.write_text(html, encoding="utf-8", errors="replace")


def render_report(data: ReportData) -> str:
    """Renders the report as one HTML document: inline style, pictures and the slider's script."""
    environment = Environment(
        loader=PackageLoader("ganad_tf.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["picture"] = _data_uri
    metrics = next(iter(data.models.values()))
    kinds = list(dict.fromkeys(kind for split in data.counts.values() for kind in split))
    return environment.get_template("page.html.jinja").render(
        data=data,
        metrics=metrics,
        verdict=verdict(metrics),
        headlines=headlines(metrics),
        columns=[heading for _, heading, _ in _COLUMNS],
        model_rows=_model_rows(data.models),
        # Normal kinds first; the sort is stable, so the data set's own order stays otherwise.
        kinds=sorted(kinds, key=lambda kind: kind not in data.normal_kinds),
        pictures=[_data_uri(figure.image) for figure in data.figures],
        max_named=MAX_NAMED,
        max_kinds=MAX_KINDS,
    )


def verdict(metrics: Mapping[str, Any]) -> str:
    """The result in one sentence.

    Args:
        metrics: what `metrics.evaluate` returned.
    """
    if not metrics["n_anomaly"]:
        alarms = in_words(metrics["false_alarm_rate"], "normal images")
        return (
            f"At its threshold the model raises a false alarm on {alarms}. How many anomalies it "
            "finds is not known: there was none to test with."
        )
    return (
        f"At its threshold the model finds {in_words(metrics['recall'], 'anomalies')} and raises "
        f"a false alarm on {in_words(metrics['false_alarm_rate'], 'normal images')}."
    )


def headlines(metrics: Mapping[str, Any]) -> list[Headline]:
    """The main results, each with a sentence that needs no knowledge of statistics.

    Args:
        metrics: what `metrics.evaluate` returned.
    """
    confusion, n_normal, n_anomaly = (metrics[k] for k in ("confusion", "n_normal", "n_anomaly"))
    false_alarms = Headline(
        "False alarms",
        f"{metrics['false_alarm_rate']:.1%}",
        f"{confusion['fp']:,} of {n_normal:,} normal images lie above the threshold and raise "
        "a false alarm.",
    )
    if not n_anomaly:
        return [false_alarms]
    chance = n_anomaly / (n_normal + n_anomaly)
    return [
        Headline(
            "AUROC",
            f"{metrics['auroc']:.4f}",
            "Given one normal and one anomalous image, the anomaly gets the higher score in "
            f"{in_words(metrics['auroc'], 'cases')}. 0.5 is guessing, 1 is perfect.",
        ),
        Headline(
            "Anomalies found",
            f"{metrics['recall']:.1%}",
            f"{confusion['tp']:,} of {n_anomaly:,} anomalies lie above the threshold; "
            f"{confusion['fn']:,} were missed.",
        ),
        false_alarms,
        Headline(
            "Right alarms",
            f"{metrics['precision']:.1%}",
            f"The share of alarms that were anomalies, with {chance:.0%} anomalies as in this "
            "test. Where anomalies are rarer, it is lower.",
        ),
        Headline(
            "Average precision",
            f"{metrics['average_precision']:.4f}",
            "The share of right alarms, averaged over all thresholds. "
            f"Guessing would reach {chance:.2f}.",
        ),
        Headline(
            "False alarms at 95 % found",
            f"{metrics['fpr_at_95_tpr']:.1%}",
            "With the threshold set to find 95 of 100 anomalies, "
            f"{in_words(metrics['fpr_at_95_tpr'], 'normal images')} would raise a false alarm.",
        ),
        *_pixel_headlines(metrics),
    ]


def _pixel_headlines(metrics: Mapping[str, Any]) -> list[Headline]:
    """How well anomaly maps locate defects, if masks are known."""
    if metrics.get("pixel_auroc") is None:
        return []
    return [
        Headline(
            "Pixel AUROC",
            f"{metrics['pixel_auroc']:.4f}",
            "Given one sound and one defective pixel of the test images, the anomaly map is "
            f"higher on the defect in {in_words(metrics['pixel_auroc'], 'cases')}.",
        ),
        Headline(
            "AUPRO",
            f"{metrics['aupro']:.4f}",
            "How much of each defect the maps cover, small ones counting as much as large ones, "
            "with at most 30 % of the sound pixels marked. Guessing would reach 0.15.",
        ),
        *_mask_headline(metrics),
    ]


def _mask_headline(metrics: Mapping[str, Any]) -> list[Headline]:
    """How well marked pixels cover defects; nothing without a pixel threshold."""
    if metrics.get("pixel_f1") is None:
        return []
    return [
        Headline(
            "Pixel F1",
            f"{metrics['pixel_f1']:.4f}",
            "How well the marked pixels, those above the pixel threshold, match the masks of the "
            "test images: the harmonic mean of the share of marked pixels that are defective and "
            "the share of defective pixels that are marked.",
        )
    ]


def in_words(rate: float, noun: str) -> str:
    """A rate in [0, 1] as a count people can picture, such as `about 2 of 100 images`.

    Counts out of 1,000 or 10,000 where out of 100 would round to none or all and so mislead.

    Args:
        rate: share of the things counted.
        noun: what is counted, plural.
    """
    if rate in (0, 1):
        return f"all {noun}" if rate else f"no {noun}"
    for total in (100, 1_000, 10_000):
        count = round(rate * total)
        if 0 < count < total:
            return f"about {count:,} of {total:,} {noun}"
    return f"{'fewer than 1' if rate < 0.5 else 'more than 9,999'} of 10,000 {noun}"


def _model_rows(models: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list]]:
    """Name and (text, is best of its column) cells; with one model nothing is called best."""
    # All models were tested on the same images, so a result exists for all of them or for none.
    known = next(iter(models.values()))
    best = {
        key: (max if higher else min)(result[key] for result in models.values())
        for key, _, higher in _COLUMNS
        if known[key] is not None
    }
    return [
        (
            name,
            [
                (
                    _cell(key, result[key]),
                    len(models) > 1 and key in best and result[key] == best[key],
                )
                for key, _, _ in _COLUMNS
            ],
        )
        for name, result in models.items()
    ]


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return "not known"
    return f"{value:.4f}" if key in _AREAS else f"{value:.1%}"


def _data_uri(image: Figure | np.ndarray) -> str:
    buffer = io.BytesIO()
    if isinstance(image, Figure):
        # The Software entry holds a version; without it, equal figures give equal files.
        image.savefig(buffer, format="png", dpi=144, metadata={"Software": None})
    else:
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
