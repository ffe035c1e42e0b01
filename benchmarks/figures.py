"""Keeps the results of finished runs, and writes the tables of README and docs from them.

python -m benchmarks.figures keep runs/fashion_mnist-sneaker ...
python -m benchmarks.figures write
"""

import argparse
import json
from pathlib import Path

from benchmarks.own_images import CLASSES
from benchmarks.published import ELPV
from benchmarks.quality_tables import load_cells, summary_table
from benchmarks.readme_tables import encoder_note, expected_table, results_table
from benchmarks.results_file import RESULTS, save
from ganad_tf.atomic_files import read_json, replace_file
from ganad_tf.errors import UsageError, run_cli
from ganad_tf.run_folder import METRICS, is_finished, load_config

REAL_METHODS = {
    "ours": "**ours, default** (EfficientNet-Lite0)",
    "feature-neighbours": "3 neighbours on the same frozen features",
    "logistic": "logistic regression on them",
    "fine-tuned": "the same encoder, fine-tuned on the labels",
    "pixel-neighbours": "3 neighbours on pixels, 64x64",
}
ROOT = Path(__file__).parents[1]


def keep(runs: list[Path]) -> None:
    """Copies each finished run's metrics and settings to `benchmarks/results/`."""
    for run in runs:
        if not is_finished(run):
            raise UsageError(f"expected the folder of a finished run. Received: {run}")
        metrics, config = read_json(run / METRICS), load_config(run)
        name = f"train-{config.protocol}-{metrics['normal'].lower().replace('/', '-')}"
        print(save(f"{name}-seed{config.seed}", {"config": config.to_dict(), **metrics}))


def _quality_table() -> str:
    rows = [
        "| normal class | test AUROC | average precision | anomalies found | false alarms "
        "| score chosen | training | peak memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for path in sorted(RESULTS.glob("train-seen-*.json")):
        m = json.loads(path.read_text())
        rows.append(
            f"| {m['normal']} | {m['auroc']:.4f} | {m['average_precision']:.4f} "
            f"| {m['recall']:.1%} | {m['false_alarm_rate']:.1%} | {m['scorer']['score']} "
            f"| {m['training_seconds'] / 60:.1f} min | {m['peak_memory_mb'] / 1024:.1f} GiB |"
        )
    return "\n".join(rows)


def _baseline_table() -> str:
    rows = ["| normal class | this model | baseline | its AUROC |", "|---|---|---|---|"]
    for path in sorted(RESULTS.glob("train-seen-*.json")):
        m = json.loads(path.read_text())
        for name, baseline in m["baselines"].items():
            rows.append(f"| {m['normal']} | {m['auroc']:.4f} | {name} | {baseline['auroc']:.4f} |")
    return "\n".join(rows)


def _step_table() -> str:
    results = json.loads((RESULTS / "train_step.json").read_text())
    rows = [
        "| preset | width | full step | generator-only step | cost ratio |",
        "|---|---|---|---|---|",
    ]
    for preset in ("small", "paper"):
        m = results[preset]
        speeds = m["images_per_second"]
        rows.append(
            f"| {preset} | {m['width']} | {speeds['full']:.0f} images/s "
            f"| {speeds['reconstruction']:.0f} images/s | {m['cost_ratio']:.2f} |"
        )
    return "\n".join(rows)


def keep_export(run: Path) -> None:
    """Copies the parity table of an export to `benchmarks/results/`."""
    name = load_config(run).protocol, read_json(run / METRICS)["normal"].lower().replace("/", "-")
    print(save("-".join(("export", *name)), read_json(run / "export.json")))


def _parity_table() -> str:
    rows = [
        "| format | greatest score difference | other decisions | AUROC | images/s | cold start |",
        "|---|---|---|---|---|---|",
    ]
    for row in json.loads((RESULTS / "export-seen-sneaker.json").read_text())["parity"]:
        cold = row["cold_start"]
        rows.append(
            f"| {row['name']} | {row['score_difference']:.1e} | {row['differing']} "
            f"| {row['auroc']:.5f} | {row['per_second']:,.0f} "
            f"| {'' if cold is None else f'{cold:.2f} s'} |"
        )
    return "\n".join(rows)


def _speed_table() -> str:
    results = json.loads((RESULTS / "scoring_speed.json").read_text())
    rows = [
        "| preset | format | images/s | share of the matrix-product rate |",
        "|---|---|---|---|",
    ]
    for preset in ("small", "paper"):
        m = results[preset]
        for name, speed in m["images_per_second"].items():
            rows.append(f"| {preset} | {name} | {speed:,.0f} | {m['share_of_gemm'][name]:.0%} |")
    rows += ["", "| ratio of speeds | small | paper |", "|---|---|---|"]
    for name in results["small"]["ratios"]:
        small, paper = (results[preset]["ratios"][name] for preset in ("small", "paper"))
        rows.append(f"| {name} | {small:.2f} | {paper:.2f} |")
    latency = results["small"]["one_image_ms"]
    rows += [
        "",
        f"One image at preset `small`: {latency['median']:.2f} ms in the median, "
        f"{latency['p99']:.2f} ms in the 99th percentile.",
    ]
    return "\n".join(rows)


def _precision_table() -> str:
    rows = ["| precision | images | test AUROC | ONNX against Keras |", "|---|---|---|---|"]
    for precision in ("float32", "mixed_bfloat16", "mixed_float16"):
        m = json.loads((RESULTS / f"precision-{precision}.json").read_text())
        onnx = next(row for row in m["parity"] if row["name"] == "ONNX float32")
        rows.append(
            f"| {precision} | {m['images_seen']:,} | {m['auroc']:.4f} "
            f"| scores within {onnx['score_difference']:.1e} |"
        )
    return "\n".join(rows)


def _devices_table() -> str:
    results = json.loads((RESULTS / "speed.json").read_text())
    rows = ["| what | images/s | ratio |", "|---|---|---|"]
    for part, reference in (("small", "training step, float32"), ("scoring", "SavedModel")):
        for name, speed in results[part].items():
            rows.append(f"| {name} | {speed:,.0f} | {speed / results[part][reference]:.2f} |")
    return "\n".join(rows)


def _deployment_table() -> str:
    alone, folder, serving = (
        json.loads((RESULTS / f"deployment-{name}.json").read_text())
        for name in ("alone", "folder", "serving")
    )
    return "\n".join(
        [
            "| tried | outcome |",
            "|---|---|",
            f"| `alone`: runtime.py copied into an empty folder and environment | "
            f"{alone['images']:,} images, scores within "
            f"{alone['greatest_score_difference']:.1e} of training's, "
            f"{alone['other_decisions']} other decisions; "
            f"{alone['process_start_to_first_score_seconds']:.2f} s from process start to the end "
            "of one image |",
            f"| `folder`: {folder['images']:,} PNG files | "
            f"{folder['images_per_second']:,.0f} images/s; resident memory at most "
            f"{folder['resident_mib_first_quarter']:.0f} MiB in the first quarter and "
            f"{folder['resident_mib_last_quarter']:.0f} MiB in the last |",
            f"| `serving`: the client with {serving['callers']} callers against the stand-in | "
            f"{serving['images']:,} images in {serving['requests']} requests, "
            f"{serving['images_per_second']:,.0f} images/s, scores within "
            f"{serving['greatest_score_difference']:.1e}, "
            f"{serving['other_decisions']} other decisions |",
        ]
    )


def _own_table() -> str:
    """The results of benchmarks.own_images that are kept."""
    kept = {path.stem: json.loads(path.read_text()) for path in (RESULTS / "own").glob("*.json")}
    rows = [
        "| images | test AUROC | pixel AUROC | AUPRO | training |",
        "|---|---|---|---|---|",
        _own_row("sneakers, `--normal 7`", [kept.get("fashion-class")]),
        _own_row("sneakers, the same as PNG files", [kept.get("fashion-folder")]),
    ]
    classes = {number: kept.get(f"class-{number}") for number in CLASSES}
    for number, cell in classes.items():
        rows.append(_own_row(f"Fashion-MNIST class {number} as PNG files, no label", [cell]))
    rows.append(_own_row("*mean of the four*", list(classes.values())))
    textures = ("brick", "grass", "gravel")
    for count, known in (
        ("20m", "20 labelled defects with masks"),
        ("20", "20 labelled defects without masks"),
        ("0", "no labelled defect"),
    ):
        cells = [kept.get(f"texture-{texture}-{count}") for texture in textures]
        for texture, cell in zip(textures, cells, strict=True):
            rows.append(_own_row(f"{texture}, synthetic, {known}", [cell]))
        rows.append(_own_row(f"*mean of the three, {known}*", cells))
    rows += _texture_alarms({texture: kept.get(f"texture-{texture}-20m") for texture in textures})
    alarms = [cell for name, cell in kept.items() if name.startswith("alarms-")]
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


def _texture_alarms(cells: dict[str, dict | None]) -> list[str]:
    """False alarms on textures, whose test tiles differ from the validation tiles."""
    if None in cells.values():
        return []
    rates = ", ".join(f"{name} {cell['false_alarm_rate']:.0%}" for name, cell in cells.items())
    return [
        "",
        f"False alarms of the first three at thresholds that promise 5%: {rates}. Their test tiles "
        "come from another region of the picture than the validation tiles, and the promise only "
        "holds if both are drawn from the same images. If they are:",
    ]


def _own_row(name: str, cells: list[dict | None]) -> str:
    """One line of means; unmeasured cells make it say so."""
    if None in cells:
        return f"| {name} | not measured yet | | | |"

    def mean(key: str) -> float | None:
        values = [cell.get(key) for cell in cells]
        return None if None in values else sum(values) / len(values)

    shown = [mean(key) for key in ("auroc", "pixel_auroc", "aupro")]
    texts = ["" if value is None else f"{value:.4f}" for value in shown]
    return f"| {name} | {' | '.join(texts)} | {mean('training_seconds') / 60:.1f} min |"


def _real_table() -> str:
    """The results of benchmarks.real_defects that are kept, beside published figures."""
    kept: dict[tuple[str, str], list[float]] = {}
    for path in sorted((RESULTS / "elpv").glob("*.json")):
        cell = json.loads(path.read_text())
        kept.setdefault((cell["setting"], cell["method"]), []).append(cell["auroc"])
    settings = {
        "none": "no label",
        "one": "1 label",
        "ten": "10 labels",
        "mono": "10 mono, poly tested",
        "poly": "10 poly, mono tested",
    }
    rows = [
        f"| test AUROC | {' | '.join(settings.values())} |",
        f"|---|{'---|' * len(settings)}",
    ]
    for method, name in REAL_METHODS.items():
        cells = [_mean_of(kept.get((setting, method), [])) for setting in settings]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    rows += [f"| {name} | {' | '.join(cells)} |" for name, cells in ELPV.items()]
    return "\n".join(rows)


def _mean_of(values: list[float]) -> str:
    """A mean with the number of splits, if it is not all three."""
    if not values:
        return ""
    splits = "" if len(values) == 3 else f" ({len(values)} split{'s' * (len(values) > 1)})"
    return f"{sum(values) / len(values):.3f}{splits}"


def _batch_table() -> str:
    m = json.loads((RESULTS / "batch.json").read_text())
    whole, resumed = m["whole"], m["resumed"]
    speed, loop = m["images_per_second_steady"], m["loop_images_per_second"]
    return "\n".join(
        [
            "| tried | outcome |",
            "|---|---|",
            f"| {m['images']:,} PNG files, {m['workers']} workers | {whole['unequal_scores']:,} "
            f"scores unlike runtime.py's (by at most {whole['greatest_score_difference']:.1e}), "
            f"{whole['other_decisions']} other decisions |",
            f"| speed beside one session in a plain loop ({loop:,.0f} images/s) | {speed:,.0f} "
            f"images/s, {speed / loop:.2f} times as fast; {m['images_per_second']:,.0f} images/s "
            f"with the start and end of Ray, {m['seconds']:.0f} s in all |",
            "| resident memory of the largest worker | at most "
            f"{m['resident_mib_first_quarter']:.0f} MiB in the first quarter and "
            f"{m['resident_mib_last_quarter']:.0f} MiB in the last |",
            f"| killed after {resumed['shards_before_the_kill']} of {resumed['shards']} shards, "
            f"then run again | {resumed['rows']:,} rows, {resumed['missing_rows']} lost, "
            f"{resumed['doubled_rows']} doubled, {resumed['unequal_scores']} unequal scores; "
            f"{resumed['shards_kept']} shards kept |",
        ]
    )


def _drift_table() -> str:
    """The results of benchmarks.drift that are kept."""
    path = RESULTS / "drift.json"
    if not path.exists():
        return "Not measured yet."
    m = json.loads(path.read_text())
    rows = [
        "| images known | streams that alarm without drift | brighter streams flagged "
        "within 200 images | of these, the line names brightness | median delay |",
        "|---|---|---|---|---|",
    ]
    for still, bright in zip(m["exchangeable"], m["brighter"], strict=True):
        flagged, streams = bright["flagged_within"]["200"], bright["streams"]
        delay = bright["delay"].get("50 %")
        rows.append(
            f"| {still['known']:,} | {still['alarms'] / still['streams']:.1%} of "
            f"{still['streams']:,} of {still['images']:,} images | {flagged / streams:.1%} of "
            f"{streams:,} | {bright['names_brightness'] / max(flagged, 1):.1%} "
            f"| {'' if delay is None else f'{delay:.0f} images'} |"
        )
    return "\n".join(rows)


# Page -> the tables that it holds between markers.
def _robustness_table() -> str:
    """The results of benchmarks.robustness that are kept."""
    rows = [
        "| tried | crashed, hanging or read differently | slowest | memory, at most |",
        "|---|---|---|---|",
    ]
    for name, words in (
        ("files", "damaged and odd image files, by both readers"),
        ("folders", "damaged data folders"),
    ):
        m = json.loads((RESULTS / f"robustness-{name}.json").read_text())
        rows.append(
            f"| {m['cases']:,} {words} | {m['crashed, hanging or read differently']} "
            f"| {m['slowest_seconds']:.1f} s | {m['peak_mib']:.0f} MiB |"
        )
    return "\n".join(rows)


PAGES = {
    "README.md": {"expected": expected_table, "results": results_table},
    "docs/export_and_serving.md": {"parity": _parity_table, "deployment": _deployment_table},
    "docs/batch_and_distributed.md": {"batch": _batch_table},
    "docs/monitoring.md": {"drift": _drift_table},
    "docs/devices.md": {"precision": _precision_table, "devices": _devices_table},
    "docs/benchmarks.md": {
        "real": _real_table,
        "own": lambda: encoder_note() + _own_table(),
        "robustness": _robustness_table,
        "protocols": lambda: summary_table(load_cells()),
        "quality": _quality_table,
        "baselines": _baseline_table,
        "step": _step_table,
        "speed": _speed_table,
    },
}


def write(root: Path = ROOT) -> None:
    """Replaces each table between its markers, in the README and in docs/.

    Args:
        root: the folder of the checkout.

    Raises:
        UsageError: if a page lacks the markers of a table; no page is changed then.
    """
    texts = {}
    for name, tables in PAGES.items():
        text = (root / name).read_text(encoding="utf-8")
        for table, make in tables.items():
            before, begin, rest = text.partition(f"<!-- {table} -->")
            _, end, after = rest.partition(f"<!-- end {table} -->")
            if not end:
                raise UsageError(f"{name} must hold the markers of table {table!r}. Received: none")
            text = f"{before}{begin}\n{make()}\n{end}{after}"
        texts[name] = text
    for name, text in texts.items():
        with replace_file(root / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    keeping = commands.add_parser("keep", help="keep the figures of finished runs")
    keeping.add_argument("runs", nargs="+", type=Path)
    exporting = commands.add_parser("keep-export", help="keep the parity figures of an export")
    exporting.add_argument("run", type=Path)
    commands.add_parser("write", help="write the tables of README and docs from what is kept")
    flags = parser.parse_args()
    if flags.command == "keep":
        keep(flags.runs)
    elif flags.command == "keep-export":
        keep_export(flags.run)
    else:
        write()


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
