"""Tables of what happens after training: deployment, damaged input, drift, new thresholds."""

import json

from benchmarks.results_file import RESULTS, all_kept, kept

NOT_MEASURED = "Not measured yet."


def deployment_table() -> str:
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


def batch_table() -> str:
    m = json.loads((RESULTS / "batch.json").read_text())
    whole, resumed = m["whole"], m["resumed"]
    count, steady = m["images"], m["images_per_second_steady"]
    loop, threads = m["loop_images_per_second"], m["threads_images_per_second"]
    return "\n".join(
        [
            "| tried | outcome |",
            "|---|---|",
            f"| {m['images']:,} PNG files, {m['workers']} workers | {whole['unequal_scores']:,} "
            f"scores unlike runtime.py's (by at most {whole['greatest_score_difference']:.1e}), "
            f"{whole['other_decisions']} other decisions |",
            f"| the whole job | {m['images_per_second']:,.0f} images/s, {m['seconds']:.1f} s with "
            f"the start and end of Ray; without them {steady:,.0f} images/s |",
            f"| the same files by runtime.py, 2 threads | {threads:,.0f} images/s, "
            f"{count / threads:.1f} s |",
            f"| the same files in a plain loop over one session | {loop:,.0f} images/s, "
            f"{count / loop:.1f} s |",
            "| resident memory of the largest worker | at most "
            f"{m['resident_mib_first_quarter']:.0f} MiB in the first quarter and "
            f"{m['resident_mib_last_quarter']:.0f} MiB in the last |",
            f"| killed after {resumed['shards_before_the_kill']} of {resumed['shards']} shards, "
            f"then run again | {resumed['rows']:,} rows, {resumed['missing_rows']} lost, "
            f"{resumed['doubled_rows']} doubled, {resumed['unequal_scores']} unequal scores; "
            f"{resumed['shards_kept']} shards kept |",
        ]
    )


def drift_table() -> str:
    """The results of benchmarks.drift that are kept."""
    m = kept("drift")
    if m is None:
        return NOT_MEASURED
    rows = [
        "| images known | streams that alarm without drift | brighter streams flagged "
        "within 200 images | of these, the line names brightness | median delay |",
        "|---|---|---|---|---|",
    ]
    for still, bright in zip(m["exchangeable"], m["brighter"], strict=True):
        flagged, streams = bright["flagged_within"]["200"], bright["streams"]
        delay = bright["delay"].get("50 %")
        rows.append(
            f"| {still['known']:,} | {still['alarms']} of {still['streams']:,} streams, each of "
            f"{still['images']:,} images ({still['alarms'] / still['streams']:.1%}) | {flagged} of "
            f"{streams:,} ({flagged / streams:.1%}) "
            f"| {bright['names_brightness'] / max(flagged, 1):.1%} "
            f"| {'' if delay is None else f'{delay:.0f} images'} |"
        )
    return "\n".join(rows)


def recalibration_table() -> str:
    """The results of benchmarks.recalibration that are kept."""
    cells = all_kept("recalibration-*")
    if not cells:
        return NOT_MEASURED
    names = {
        "gravel": "gravel, another region",
        "elpv": "solar cells, normal images and labels mono, scored on poly",
    }
    rows = [
        "| images | false alarms before | after, with 40 new normal images | stated interval "
        "| 1,000 other draws of 40: inside | anomalies found, before and after "
        "| AUROC before and after |",
        "|---|---|---|---|---|---|---|",
    ]
    for m in cells:
        what, _, seed = m["cell"].partition("-")
        count, auroc = m["remaining_images"], m["auroc"]
        equal = "equal" if m["auroc_unchanged"] else f"{auroc['after']:.4f}"
        rows.append(
            f"| {names[what]}, seed {seed} | {m['false_alarms_before'] / count:.0%} "
            f"| {m['false_alarms']} of {count} ({m['false_alarms'] / count:.1%}) | {m['low']} to "
            f"{m['high']} | {m['share_inside']:.1%} "
            f"| {m['recall_before']:.0%}, {m['recall']:.0%} | {auroc['before']:.4f}, {equal} |"
        )
    return "\n".join(rows)


def corrections_table() -> str:
    """The results of benchmarks.corrections that are kept."""
    cells = all_kept("corrections-*")
    if not cells:
        return NOT_MEASURED
    rows = [
        "| split | trained with 1 label | then 10 corrections | trained with 11 labels |",
        "|---|---|---|---|",
    ]
    rows += [
        f"| {m['cell']} | {m['auroc']['one']:.4f} | {m['auroc']['corrected']:.4f} "
        f"| {m['auroc']['eleven']:.4f} |"
        for m in cells
    ]
    return "\n".join(rows)


def web_table() -> str:
    """The results of benchmarks.web that are kept."""
    m = kept("web")
    if m is None:
        return NOT_MEASURED
    models = {name: value for name, value in m.items() if "images_per_second" in str(value)}
    ways = list(next(iter(models.values()))["images_per_second"])
    rows = [f"| images/s | {' | '.join(ways)} |", f"|---|{'---|' * len(ways)}"]
    for name, measured in models.items():
        speeds = measured["images_per_second"]
        rows.append(f"| {name} | {' | '.join(f'{speeds[way]:,.0f}' for way in ways)} |")
    return "\n".join(rows)


def encoder_speed_table() -> str:
    """The results of benchmarks.encoder_speed that are kept."""
    m = kept("encoder_speed")
    if m is None:
        return NOT_MEASURED
    batches = [name for name in m if name.startswith("batch ")]
    rows = [
        f"| images/s at {m['encoder_size']} px, {m['threads']} threads | "
        + " | ".join(f"{name} | ratio" for name in batches)
        + " |",
        "|---|" + "---|---|" * len(batches),
    ]
    for name in m[batches[0]]["ratios"]:
        cells = [m[batch] for batch in batches]
        texts = [f"{c['images_per_second'][name]:.1f} | {c['ratios'][name]:.2f}" for c in cells]
        label = "PyTorch eager, the encoder alone" if name == "PyTorch eager" else f"ours, {name}"
        rows.append(f"| {label} | {' | '.join(texts)} |")
    return "\n".join(rows)


def photos_table() -> str:
    """The results of benchmarks.photos that are kept."""
    m = kept("photos")
    if m is None:
        return NOT_MEASURED
    rows = ["| model | JPEG photos | plain loop | runtime.py | ratio |", "|---|---|---|---|---|"]
    for cell in m["cells"]:
        height, side = cell["image_shape"][0], cell["side"]
        model = f"{height} px" + ("" if cell["encoder"] == "none" else ", EfficientNet-Lite0")
        speeds = cell["images_per_second"]
        plain, ours = (f"{speeds[one]['median']:.0f} images/s" for one in ("plain", "ours"))
        ratio = cell["ratio"]["median"]
        model += ", grey" if cell["image_shape"][2] == 1 else ", colour"
        rows.append(f"| {model} | {side}x{side} | {plain} | {ours} | {ratio:.2f} |")
    apart = max(cell["apart"] for cell in m["cells"])
    said = (
        "The plain loop decodes every photo in full. Scores of the two differ by at most "
        f"{apart:.2f} standard deviations of all photos' scores."
    )
    return "\n".join([*rows, "", said])


def robustness_table() -> str:
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
    return "\n".join([*rows, "", *_kill_rows()])


def _kill_rows() -> list[str]:
    kills = kept("robustness-kills")
    if kills is None:
        return ["Kills: not measured yet."]
    names = {"train": "trainings", "export": "exports", "batch": "batch jobs"}
    parts = []
    for what, m in kills["summary"].items():
        in_time = sum(kill["killed"] for kill in kills["kills"] if kill["what"] == what)
        parts.append(
            f"{m['killed']} {names[what]}, of which {in_time} were still at work "
            f"({m['all files whole']} with every file whole, {m['same results']} with the same "
            "results, bit for bit)"
        )
    return [f"Killed at random moments and begun again: {'; '.join(parts)}."]
