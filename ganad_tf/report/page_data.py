"""Everything that a report shows, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ganad_tf.report.thresholds import Thresholds


@dataclass(frozen=True)
class KindResult:
    """How well one kind of anomaly was found in the test.

    Attributes:
        name: the kind.
        learnt: labelled images of it in the training part.
        tested: images of it in the test part.
        found: how many of these lie above the threshold.
        auroc: that kind against all normal test images.
    """

    name: str
    learnt: int
    tested: int
    found: int
    auroc: float


@dataclass(frozen=True)
class Suspect:
    """A normal image that looks anomalous to the detector.

    Attributes:
        path: relative to the data folder.
        part: `train`, `validation` or `test`.
        score: its anomaly score.
        is_alarm: whether that is above the threshold.
        picture: uint8 [h, w, 1 or 3].
        overlay: the same with its anomaly map over it, uint8 [h, w, 3].
    """

    path: str
    part: str
    score: float
    is_alarm: bool
    picture: np.ndarray
    overlay: np.ndarray


@dataclass(frozen=True, kw_only=True)
class OwnData:
    """What the report shows about a folder of images only.

    Attributes:
        root: the folder.
        layout: a name in `ganad_tf.data.folder.layouts.LAYOUTS`.
        kinds: kinds of anomaly in the test, the worst found first.
        suspects: the normal images of highest score over all parts, the highest first.
        duplicates: groups of equal pictures: (path, `kind, part`) of each.
        near_duplicates: (path with part, the same of the original, difference) of images that are
            nearly equal to one in another part.
        left_out: (path, reason) of files that cannot be used.
        notes: sentences about the data.
        uses: lines that say how every file and folder is used, or why it is not.
        n_test_masks: how many anomalous test images have a mask.
        n_train_masks: how many anomalies in training have one.
    """

    root: str
    layout: str
    kinds: Sequence[KindResult]
    suspects: Sequence[Suspect]
    duplicates: Sequence[Sequence[tuple[str, str]]]
    left_out: Sequence[tuple[str, str]]
    notes: Sequence[str]
    n_test_masks: int
    n_train_masks: int
    uses: Sequence[str] = ()
    near_duplicates: Sequence[tuple[tuple[str, str], tuple[str, str], float]] = ()


@dataclass(frozen=True)
class ReportFigure:
    """A picture of the report.

    Attributes:
        title: heading above it.
        caption: what to see in it, a sentence or two.
        image: the picture.
        alt: text for readers who cannot see the picture (default: the title).
    """

    title: str
    caption: str
    image: Figure
    alt: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything that the report shows, as plain values.

    Attributes:
        title: the page's heading, e.g. `Fashion-MNIST: sneaker against the rest`.
        summary: what was trained on what, in a sentence or two.
        models: name -> result of `metrics.evaluate`; the first is the model reported on, the
            others are what it is compared with.
        threshold_rule: how the threshold was set, e.g. `best F1 on validation images`.
        threshold_changes: (what for, command or setting) pairs: where to change it afterwards.
        scorer: the scorer in use.
        scorer_candidates: every scorer compared -> its AUROC on validation images; empty if
            there was nothing to compare by.
        counts: split -> kind -> number of images.
        normal_kinds: the kinds that count as normal.
        command: the command line that repeats the run.
        plan: decision -> what was decided, and why; taken from the run's plan.
        scorer_why: why this scorer, e.g. `highest AUROC on validation`.
        figures: pictures, in the order to show them.
        facts: time, memory and hardware, e.g. `{"Training time": "4 min 10 s"}`.
        config: setting -> value.
        versions: package -> version.
        better: one sentence for each model that has a higher AUROC than the first.
        outlook: the false alarms to expect at the threshold, in a sentence or two.
        own: about the folder of images; None for Fashion-MNIST.
        thresholds: for the slider; without it, there is none.
    """

    title: str
    summary: str
    models: Mapping[str, Mapping[str, Any]]
    threshold_rule: str
    threshold_changes: Sequence[tuple[str, str]]
    scorer: str
    scorer_candidates: Mapping[str, float]
    counts: Mapping[str, Mapping[str, int]]
    normal_kinds: Sequence[str]
    command: str
    plan: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    scorer_why: str = ""
    figures: Sequence[ReportFigure] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    better: Sequence[str] = ()
    outlook: str = ""
    own: OwnData | None = None
    thresholds: Thresholds | None = None
