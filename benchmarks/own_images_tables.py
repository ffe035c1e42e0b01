"""Tables of runs on own images: solar cells, textures, false alarms, designs of the encoder."""

import statistics

from benchmarks.few_photos import PHOTOS, SPLITS
from benchmarks.own_images import CLASSES
from benchmarks.published import ELPV, ELPV_SETTINGS
from benchmarks.real_defects import SPLITS as REPORTED
from benchmarks.results_file import all_kept, kept, mean_of
from benchmarks.texture_data import TEXTURES
from ganad_tf.wording import counted

REAL_METHODS = {
    "ours": "**ours, default** (EfficientNet-Lite0)",
    "feature-neighbours": "3 neighbours on the same frozen features",
    "logistic": "logistic regression on them",
    "fine-tuned": "the same encoder, fine-tuned on the labels",
    "pixel-neighbours": "3 neighbours on pixels, 64x64",
}
# The baseline that every run on own images is compared with.
NEIGHBOURS = "3 neighbours on features of efficientnet_lite0"
_ALARMS = (
    "The thresholds of all lines but the sneakers' promise at most 5% false alarms. On grass and "
    "gravel that promise is broken: test tiles come from another region of the picture than "
    "validation tiles, and the promise only holds if both are drawn from the same images. Sneakers "
    "as PNG files are, here with `--encoder none` and shortened training:"
)
FEW_PHOTOS = {
    "validation alone": "validation photos alone",
    "default": "training photos, too (default)",
}
DESIGN_CELLS = {"elpv": "solar cells", "gravel": "gravel"}
DESIGN_SCORES = {
    "reconstruction": "reconstruction",
    "patch": "patch",
    "max_error": "max_error",
    "features": "features of E",
    "generator": "generator's score",
    "encoder": "encoder's score",
    "default": "default score",
}


SETTING_NAMES = {
    "none": "no label",
    "one": "1 label",
    "ten": "10 labels",
    "mono": "10 mono, poly tested",
    "poly": "10 poly, mono tested",
}


def own_table() -> str:
    """The results of benchmarks.own_images that are kept."""
    all_cells = {cell["cell"]: cell for cell in all_kept("own/*")}
    rows = [
        "| images | test AUROC | 3 neighbours on the frozen features | pixel AUROC | AUPRO "
        "| false alarms | training (median) |",
        "|---|---|---|---|---|---|---|",
        _own_row("sneakers, `--normal 7`", [all_cells.get("fashion-class")]),
        _own_row("sneakers, the same as PNG files", [all_cells.get("fashion-folder")]),
    ]
    classes = {number: all_cells.get(f"class-{number}") for number in CLASSES}
    for number, cell in classes.items():
        rows.append(_own_row(f"Fashion-MNIST class {number} as PNG files, no label", [cell]))
    rows.append(_own_row("*mean of the four*", list(classes.values())))
    for count, known in (
        ("20m", "20 labelled defects with masks"),
        ("20", "20 labelled defects without masks"),
        ("0", "no labelled defect"),
    ):
        cells = [all_cells.get(f"texture-{texture}-{count}") for texture in TEXTURES]
        for texture, cell in zip(TEXTURES, cells, strict=True):
            rows.append(_own_row(f"{texture}, synthetic, {known}", [cell]))
        rows.append(_own_row(f"*mean of the three, {known}*", cells))
    rows += ["", _ALARMS]
    alarms = [cell for name, cell in all_cells.items() if name.startswith("alarms-")]
    if not alarms:
        return "\n".join([*rows, "", "False-alarm rate against its promise: not measured yet."])
    false = [cell["alarms"] for cell in alarms]
    rows += ["", _kept_promise(false, "on unseen normal images")]
    marks = [cell["marks"] for cell in alarms if "marks" in cell]
    if marks:
        what = "and the normal images with a marked pixel, which the same rate promises"
        rows += ["", _kept_promise(marks, what)]
    return "\n".join(rows)


def _kept_promise(cells: list[dict], what: str) -> str:
    """How a promised rate was kept over random splits; of `benchmarks.own_images.judge`."""
    inside = sum(one["inside"] for one in cells)
    observed = sorted(one["observed"] for one in cells)
    return (
        f"`--max-false-alarms {cells[0]['promised']}` {what}, "
        f"{len(cells)} random splits and seeds: observed {observed[0]:.1%} to "
        f"{observed[-1]:.1%}, {sum(observed) / len(observed):.1%} in the mean (expected: "
        f"{sum(one['mean'] for one in cells) / len(cells):.1%}); {inside} of {len(cells)} "
        f"within the {cells[0]['confidence']:.0%} interval for so many validation and test "
        "images."
    )


def _own_row(name: str, cells: list[dict | None]) -> str:
    """One line of means; unmeasured cells make it say so."""
    if None in cells:
        return f"| {name} | not measured yet | | | | | |"

    def mean(key: str) -> float | None:
        return mean_of([cell.get(key) for cell in cells])

    beside = mean_of([c.get("baselines", {}).get(NEIGHBOURS, {}).get("auroc") for c in cells])
    shown = [mean("auroc"), beside, mean("pixel_auroc"), mean("aupro")]
    texts = ["" if value is None else f"{value:.4f}" for value in shown]
    if beside is not None:
        best = 0 if shown[0] >= beside else 1
        texts[best] = f"**{texts[best]}**"
    return (
        f"| {name} | {' | '.join(texts)} | {mean('false_alarm_rate'):.0%} "
        f"| {_median_minutes(cells)} |"
    )


def _median_minutes(cells: list[dict]) -> str:
    """How long they trained; other work makes single ones much longer."""
    return f"{statistics.median(cell['training_seconds'] for cell in cells) / 60:.1f} min"


def elpv_aurocs() -> dict[tuple[str, str], list[float]]:
    """(setting, method) -> AUROC of each reported split that is kept."""
    aurocs: dict[tuple[str, str], list[float]] = {}
    for cell in all_kept("elpv/*"):
        if cell["split"] in REPORTED:
            aurocs.setdefault((cell["setting"], cell["method"]), []).append(cell["auroc"])
    return aurocs


def real_table() -> str:
    """The results of benchmarks.real_defects that are kept, beside published figures."""
    aurocs = elpv_aurocs()
    rows = [
        f"| test AUROC | {' | '.join(SETTING_NAMES[one] for one in ELPV_SETTINGS)} |",
        f"|---|{'---|' * len(ELPV_SETTINGS)}",
    ]
    for method, name in REAL_METHODS.items():
        cells = [mean_of_splits(aurocs.get((setting, method), [])) for setting in ELPV_SETTINGS]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    rows += [f"| {name} | {' | '.join(cells)} |" for name, cells in ELPV.items()]
    return "\n".join(rows)


def mean_of_splits(values: list[float]) -> str:
    """A mean, with the number of splits unless it is all that are reported; empty without any."""
    if not values:
        return ""
    mean = f"{sum(values) / len(values):.3f}"
    return mean if len(values) == len(REPORTED) else f"{mean} ({counted(len(values), 'split')})"


def designs_table() -> str:
    """The results of benchmarks.encoder_designs that are kept."""
    all_cells = {cell: kept(f"encoder_designs-{cell}") for cell in DESIGN_CELLS}
    found = {cell: values for cell, values in all_cells.items() if values is not None}
    if not found:
        return "Not measured yet."
    rows = [f"| test AUROC | {' | '.join(DESIGN_SCORES.values())} |"]
    rows.append(f"|---|{'---|' * len(DESIGN_SCORES)}")
    for cell, result in found.items():
        for kind in ("inside", "beside"):
            design = result["designs"][kind]
            values = {**design["components"], **design["joined"]}
            shown = " | ".join(f"{values[name]:.3f}" for name in DESIGN_SCORES)
            rows.append(f"| {DESIGN_CELLS[cell]}, {kind} | {shown} |")
    return "\n".join([*rows, "", _design_costs(found)])


def _design_costs(found: dict[str, dict]) -> str:
    """What `inside` costs, as a multiple of `beside`; one factor for each cell."""

    def factors(key: str) -> str:
        pairs = [cell["designs"] for cell in found.values()]
        return " and ".join(f"{pair['inside'][key] / pair['beside'][key]:.1f}" for pair in pairs)

    small = [cell["designs"]["beside_128"]["joined"]["default"] for cell in found.values()]
    return (
        f"Inside takes {factors('step_cpu_seconds')} times the CPU time of a training step, "
        f"{factors('score_cpu_seconds')} times that of a scored image, whose encoder sees less, "
        f"and {factors('megabytes')} times the megabytes. Inside, the encoder sees 128x128 pixels. "
        "If the branch beside sees no more, both designs score alike: beside, the last column is "
        f"{' and '.join(f'{value:.3f}' for value in small)} then. With larger images it is better "
        "on gravel, so it stands beside."
    )


def few_photos_table() -> str:
    """Promises of few photos, by validation images alone and with training images."""
    lines = [
        "| normal photos | threshold rests on | promised | false alarms | marked | anomalies found "
        "| AUROC |",
        "|" + "---|" * 7,
    ]
    for photos in PHOTOS:
        cells = all_kept(f"few_photos/{photos}-[{SPLITS[0]}-{SPLITS[-1]}]")
        if len(cells) < len(SPLITS):
            continue
        for name, title in FEW_PHOTOS.items():
            results = [cell[name] for cell in cells]
            if name == "default":
                assert all(result["cross_fitted"] for result in results)
            promised = {result["rule"].removeprefix("at most ").split("%")[0] for result in results}
            rates = [
                mean_of([result[figure] for result in results])
                for figure in ("false_alarm_rate", "marked_normal_rate", "recall", "auroc")
            ]
            shares = [f"{rate:.0%}" for rate in rates[:-1]]
            rate = f"{float(promised.pop()):.0f}%"
            lines.append(
                f"| {photos} | {title} | {rate} | {' | '.join(shares)} | {rates[-1]:.3f} |"
            )
    return "\n".join(lines)
