"""The README's two tables: what to expect of one's own data, and results beside others'."""

import dataclasses
import functools
import itertools
import shlex
import statistics
from collections.abc import Callable, Mapping

from benchmarks.own_images import SAME_AS_CLASS
from benchmarks.own_images_tables import SETTING_NAMES, elpv_aurocs, mean_of_splits
from benchmarks.pair_tables import mean_of_all_pairs
from benchmarks.published import ELPV, ELPV_SETTINGS, FASHION_MNIST
from benchmarks.quality import IMAGENET, UNSEEN_SHARES
from benchmarks.quality_tables import LABELLED, Cells, aurocs, load_cells, mean_auroc
from benchmarks.results_file import kept, mean_of
from benchmarks.texture_data import TEXTURES
from ganad_tf.errors import DataError

BASELINES = {
    "cnn": "supervised CNN",
    "knn": "3 nearest neighbours on pixels",
    "pca": "PCA",
    "iforest": "isolation forest",
    "ocsvm": "one-class SVM",
    "autoencoder": "autoencoder",
}
ELPV_BASELINES = {
    "feature-neighbours": "3 nearest neighbours on the same frozen features",
    "logistic": "logistic regression on them",
    "fine-tuned": "the same encoder, fine-tuned on the labels",
    "pixel-neighbours": "3 nearest neighbours on pixels",
}
LABELS = {setting: SETTING_NAMES[setting] for setting in ("none", "one", "ten")}
DEFECTS = {
    "0": "no labelled defect",
    "20": "20 labelled defects",
    "20m": "20 labelled defects with masks",
}
# Which class is labelled under `unseen`, in the words of `LABELLED`.
NEXT, IN_TURN = "the next one", "each of the nine others in turn"
NOT_MEASURED = "not measured yet"


@dataclasses.dataclass(frozen=True)
class Figure:
    """An AUROC and whose it is.

    Args:
        auroc: as measured or quoted.
        text: as shown; digits follow the source.
        name: of the method; empty for ours.
        has_more: whether it is ours with pretrained weights that the others of its line lack.
    """

    auroc: float
    text: str
    name: str = ""
    has_more: bool = False


def results_table() -> str:
    """Ours beside the best baseline that was run and the best published figure."""
    rows = [
        "| images | labelled in training | ganad_tf | best baseline, same images "
        "| best published, other splits |",
        "|---|---|---|---|---|",
        *_fashion_rows(load_cells()),
        *_solar_rows(),
        *_texture_rows(),
    ]
    return "\n".join(rows)


def expected_table() -> str:
    """For each kind of data: the command, a figure that it gave, and how long it trained."""
    solar, fashion = _solar(), _own("fashion-class")
    files, cells = _own("fashion-folder"), kept("elpv/ten-0-ours")
    drawn = {count: _text(_textures(count, "auroc")) for count in DEFECTS}
    minutes = {count: _minutes(_median_seconds(count)) for count in DEFECTS}
    rows = [
        (
            "normal images only, in `photos/normal/`",
            "`python train.py --data photos`",
            f"solar cells {_of(solar, 'none')}; drawn defects on textures {drawn['0']}",
            f"textures {minutes['0']}",
        ),
        (
            "a few labelled anomalies too, in `photos/anomaly/KIND/`",
            "the same",
            f"solar cells {_of(solar, 'ten')} with 10 labels, {_of(solar, 'one')} with 1; "
            f"drawn defects with 20 labels {drawn['20']}",
            f"solar cells {_minutes(cells and cells['training_seconds'])}, "
            f"textures {minutes['20']}",
        ),
        (
            "masks of them too, in `photos/ground_truth/KIND/`",
            "the same",
            f"drawn defects with 20 labels and masks {drawn['20m']}",
            f"textures {minutes['20m']}",
        ),
        (
            "many labelled anomalies of every kind that will come",
            f"`{_command(files)}`",
            f"sneakers as PNG files {_text(files and files['auroc'])}",
            _minutes(files and files["training_seconds"]),
        ),
        (
            "Fashion-MNIST",
            "`python train.py --normal 7`",
            f"sneakers {_text(fashion and fashion['auroc'])}",
            _minutes(fashion and fashion["training_seconds"]),
        ),
    ]
    head = ["| you have | command | test AUROC that it gave | training |", "|---|---|---|---|"]
    table = "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])
    return "\n\n".join([table, *_what_labels_brought()])


def _what_labels_brought() -> list[str]:
    """A paragraph if labels without masks were of no use on textures."""
    without, labels = _textures("0", "auroc"), _textures("20", "auroc")
    if without is None or labels is None or labels > without:
        return []
    return [
        f"On textures, 20 labels without masks made no measurable difference: {labels:.4f} with "
        f"them, {without:.4f} without, one seed."
    ]


def _fashion_rows(cells: Cells) -> list[str]:
    rows = []
    run = [protocol for protocol in LABELLED if aurocs(cells, protocol, "ganad")]
    for protocol, method in itertools.product(run, ("ganad", IMAGENET)):
        images, labelled, mean_of = _compared_on(cells, protocol, method)
        ours = mean_of(method)
        if ours is None:
            continue
        baselines = [
            Figure(mean, f"{mean:.4f}", name)
            for baseline, name in BASELINES.items()
            if (mean := mean_of(baseline)) is not None
        ]
        name = f"Fashion-MNIST, {images}, `{protocol}`"
        name += ", ours with ImageNet weights" if method == IMAGENET else ""
        figure = Figure(ours, f"{ours:.4f}", has_more=method == IMAGENET)
        published = _quoted(FASHION_MNIST.get(protocol, ""))
        rows.append(_row(name, labelled, figure, baselines, published))
    return rows


def _compared_on(
    cells: Cells, protocol: str, method: str
) -> tuple[str, str, Callable[[str], float | None]]:
    """On what a method's line compares it: on all pairs if they were run, else on classes.

    Returns:
        Words for it, words for what is labelled, and the mean of every method on the same.
    """
    labelled = LABELLED[protocol]
    if protocol in UNSEEN_SHARES:
        by_class = functools.partial(aurocs, cells)
        mean_of = functools.partial(mean_of_all_pairs, protocol, by_class=by_class)
        if mean_of(method) is not None:
            return "90 pairs", labelled.replace(NEXT, IN_TURN), mean_of
    classes = tuple(aurocs(cells, protocol, "ganad"))
    count = "ten" if len(classes) == 10 else str(len(classes))
    mean_of = functools.partial(mean_auroc, cells, protocol, classes=classes)
    return f"{count} classes", labelled, mean_of


def _solar_rows() -> list[str]:
    kept = _solar()
    rows = []
    for setting, label in LABELS.items():
        column = ELPV_SETTINGS.index(setting)
        published = [
            Figure(float(values[column]), values[column], name)
            for name, values in ELPV.items()
            if values[column]
        ]
        baselines = [
            dataclasses.replace(kept[setting, method], name=name)
            for method, name in ELPV_BASELINES.items()
            if (setting, method) in kept
        ]
        rows.append(
            _row("solar cells (ELPV)", label, kept.get((setting, "ours")), baselines, published)
        )
    return rows


def _texture_rows() -> list[str]:
    rows = []
    for count, label in DEFECTS.items():
        mean = _textures(count, "auroc")
        ours = None if mean is None else Figure(mean, f"{mean:.4f}")
        baselines = _texture_baselines(count)
        rows.append(_row("drawn defects on three textures", label, ours, baselines, []))
    return rows


def _row(
    images: str,
    labelled: str,
    ours: Figure | None,
    baselines: list[Figure],
    published: list[Figure],
) -> str:
    """One line; the highest is bold where there is something to compare with fairly."""
    best = [max(some, key=lambda f: f.auroc, default=None) for some in (baselines, published)]
    figures = [ours, *best]
    known = [figure.auroc for figure in figures if figure]
    is_fair = len(known) > 1 and not (ours and ours.has_more)
    highest = max(known) if is_fair else None
    texts = []
    for figure in figures:
        if figure is None:
            texts.append("" if texts else NOT_MEASURED)
            continue
        text = f"**{figure.text}**" if figure.auroc == highest else figure.text
        texts.append(f"{text} {figure.name}".rstrip())
    return f"| {images} | {labelled} | {' | '.join(texts)} |"


def _quoted(text: str) -> list[Figure]:
    """`Deep SAD 0.905, ESAD 0.956` as figures."""
    figures = []
    for part in filter(None, text.split(", ")):
        name, _, value = part.rpartition(" ")
        figures.append(Figure(float(value), value, name.rstrip(":")))
    return figures


def _solar() -> dict[tuple[str, str], Figure]:
    """(setting, method) -> mean over the reported splits, of which some may be missing."""
    return {
        key: Figure(sum(values) / len(values), mean_of_splits(values))
        for key, values in elpv_aurocs().items()
    }


def _of(solar: Mapping[tuple[str, str], Figure], setting: str) -> str:
    figure = solar.get((setting, "ours"))
    return NOT_MEASURED if figure is None else figure.text


def _own(cell: str) -> dict | None:
    return kept(f"own/{cell}")


def _textures(count: str, key: str) -> float | None:
    """Mean of a value over the textures, None unless all are kept."""
    cells = [_own(f"texture-{texture}-{count}") for texture in TEXTURES]
    return mean_of([cell and cell[key] for cell in cells])


def _median_seconds(count: str) -> float | None:
    """How long a texture trained, None unless all are kept. Other work makes single ones longer."""
    cells = [_own(f"texture-{texture}-{count}") for texture in TEXTURES]
    if not all(cells):
        return None
    return statistics.median(cell["training_seconds"] for cell in cells if cell)


def _texture_baselines(count: str) -> list[Figure]:
    """Means over the textures of the baselines that every run on own images is compared with."""
    cells = [_own(f"texture-{texture}-{count}") or {} for texture in TEXTURES]
    kept = [cell.get("baselines", {}) for cell in cells]
    names = [name for name in kept[0] if all(name in others for others in kept)]
    means = {name: sum(cell[name]["auroc"] for cell in kept) / len(kept) for name in names}
    return [Figure(mean, f"{mean:.4f}", name) for name, mean in means.items()]


def _text(auroc: float | None) -> str:
    return NOT_MEASURED if auroc is None else f"{auroc:.4f}"


def _minutes(seconds: float | None) -> str:
    return NOT_MEASURED if seconds is None else f"{seconds / 60:.1f} min"


def _command(cell: dict | None) -> str:
    """The command of the cell of PNG files, with the reader's folder in place of the benchmark's.

    Raises:
        DataError: if the kept cell had other flags than the benchmark gives now.
    """
    flags = [] if cell is None else list(cell["flags"])
    if cell and tuple(flags[4:-2]) != SAME_AS_CLASS:
        raise DataError(
            f"own/fashion-folder: expected the flags {shlex.join(SAME_AS_CLASS)}. "
            f"Received: {shlex.join(flags)}; run the cell again"
        )
    # Grey files are read as grey without being asked; those of readers may have colours.
    for flag in {"--split", "--channels"} & set(flags):
        place = flags.index(flag)
        del flags[place : place + 2]
    flags = [flag.replace("DIR/data", "photos") for flag in flags]
    return shlex.join(["python", "train.py", *flags])
