"""Tables of single runs: training, formats and speeds."""

import json

from benchmarks.results_file import RESULTS, all_kept, kept


def quality_table() -> str:
    rows = [
        "| normal class | test AUROC | average precision | anomalies found | false alarms "
        "| score chosen | training | peak memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for m in all_kept("train-seen-*"):
        rows.append(
            f"| {m['normal']} | {m['auroc']:.4f} | {m['average_precision']:.4f} "
            f"| {m['recall']:.1%} | {m['false_alarm_rate']:.1%} | {m['scorer']['score']} "
            f"| {m['training_seconds'] / 60:.1f} min | {m['peak_memory_mb'] / 1024:.1f} GiB |"
        )
    return "\n".join(rows)


def baseline_table() -> str:
    rows = ["| normal class | this model | baseline | its AUROC |", "|---|---|---|---|"]
    for m in all_kept("train-seen-*"):
        for name, baseline in m["baselines"].items():
            rows.append(f"| {m['normal']} | {m['auroc']:.4f} | {name} | {baseline['auroc']:.4f} |")
    return "\n".join(rows)


def step_table() -> str:
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


def parity_table() -> str:
    rows = [
        "| format | images | greatest score difference | other decisions | AUROC | images/s "
        "| cold start |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in json.loads((RESULTS / "export-seen-sneaker.json").read_text())["parity"]:
        auroc, cold = row["auroc"], row["cold_start"]
        rows.append(
            f"| {row['name']} | {row['images']:,} | {row['score_difference']:.1e} "
            f"| {row['differing']} | {'' if auroc is None else f'{auroc:.5f}'} "
            f"| {row['per_second']:,.0f} | {'' if cold is None else f'{cold:.2f} s'} |"
        )
    return "\n".join(rows)


def speed_table() -> str:
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


def precision_table() -> str:
    rows = ["| precision | images | test AUROC | ONNX against Keras |", "|---|---|---|---|"]
    for precision in ("float32", "mixed_bfloat16", "mixed_float16"):
        m = json.loads((RESULTS / f"precision-{precision}.json").read_text())
        onnx = next(row for row in m["parity"] if row["name"] == "ONNX float32")
        rows.append(
            f"| {precision} | {m['images_seen']:,} | {m['auroc']:.4f} "
            f"| scores within {onnx['score_difference']:.1e} |"
        )
    return "\n".join(rows)


def devices_table() -> str:
    results = json.loads((RESULTS / "speed.json").read_text())
    rows = ["| what | images/s | ratio |", "|---|---|---|"]
    for part, reference in (("small", "training step, float32"), ("scoring", "SavedModel")):
        for name, speed in results[part].items():
            rows.append(f"| {name} | {speed:,.0f} | {speed / results[part][reference]:.2f} |")
    return "\n".join(rows)


def presets_table() -> str:
    """What each preset is, and what one run of it gave."""
    rows = [
        "| preset | width | losses | what else | measured on | test AUROC | training | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    sneakers = kept("train-seen-sneaker-seed0")
    cells = kept("elpv/ten-0-ours")
    sandals = kept("quality/none-5-ganad-imagenet-seed0")
    speeds = kept("train_step") or {}
    small = "| `small` (default) | 16 | all ten |"
    rows += [
        f"{small} residual 3x3 convolutions after the last two halvings | sneakers, `seen` "
        f"| {_cost(sneakers)} |",
        f"{small} on own images, ImageNet features beside the generator | solar cells, 10 labels, "
        f"the first of three splits | {_cost(cells)} |",
        "| `imagenet` | 16 | all ten | the same on Fashion-MNIST | sandals, `none` "
        f"| {_cost(sandals)} |",
    ]
    slower = "not measured yet | | "
    if speeds:
        small_speed, paper_speed = (
            speeds[name]["images_per_second"]["full"] for name in ("small", "paper")
        )
        slower = f"| an epoch takes {small_speed / paper_speed:.0f} times as long as `small` |"
    return "\n".join([*rows, f"| `paper` | 64 | the eight | | not to the end | {slower} |"])


def _cost(run: dict | None) -> str:
    """Cells of a kept run: AUROC, minutes of training, peak memory."""
    if run is None:
        return "not measured yet | | "
    memory = run.get("peak_memory_mb")
    shown = "" if memory is None else f"{memory / 1024:.1f} GiB"
    return f"{run['auroc']:.4f} | {run['training_seconds'] / 60:.1f} min | {shown}"
