"""The model card that every export writes, as Markdown; its content is that of model_card.py."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .model_card import FASHION_MNIST

CARD = "model_card.md"
USES = (
    "Sorting and flagging images of the same source as the training images, for a person to look "
    "at.",
    "Showing where an image looks unusual.",
)
NOT_FOR = (
    "Images of another camera, light, product or size than in training: scores and rates do not "
    "carry over.",
    "Decisions about people, and decisions on safety without another check.",
    "Naming the kind of an anomaly.",
)


def render(card: Mapping[str, Any], description: Mapping[str, Any]) -> str:
    """The card as Markdown.

    Args:
        card: of `export.model_card.describe_model`.
        description: export.json's content, for files and versions.
    """
    height, width, channels = card["input"]["image_shape"]
    colour = "grey" if channels == 1 else "RGB"
    components = ", ".join(f"{name} {w:.2g}" for name, w in card["score"]["components"].items())
    sections = {
        f"Model card: {_subject(card)}": (
            f"An anomaly detector of ganad_tf {card['ganad_tf']}. It takes {colour} images of "
            f"{width}x{height} pixels and gives a score (higher is more anomalous), a decision, a "
            "probability at even odds, a map of where the image looks anomalous, and a "
            "reconstruction. "
            f"Score: `{card['score']['recipe']}` ({card['score']['why']}); weights: {components}."
        ),
        "Intended use": _listed(USES),
        "Not for": _listed(NOT_FOR),
        "Data": _data_text(card),
        "Figures": _figures_text(card),
        "Threshold": _threshold_text(card),
        "Marked pixels": _marks_text(card),
        "Limits": _listed(_limits(card)),
        "Licences": _table(("what", "licence"), card["licences"].items()),
        "Files": _table(
            ("file", "bytes", "SHA-256"),
            [(f, f"{e['bytes']:,}", f"`{e['sha256']}`") for f, e in description["files"].items()],
        ),
        "Versions": _table(("library", "version"), description["versions"].items()),
    }
    title, *others = sections
    parts = [f"# {title}", sections[title]]
    for name in others:
        parts += [f"## {name}", sections[name]]
    return "\n\n".join(parts) + "\n"


def _subject(card: Mapping[str, Any]) -> str:
    """What the model tells apart, for the heading."""
    if card["data"] is None:
        return "normal images and what differs from them"
    if card["data"]["name"] == FASHION_MNIST:
        return f"{_plain(card['normal'])} and what differs from it"
    return f"normal images of {_plain(card['data']['name'])} and what differs from them"


def _data_text(card: Mapping[str, Any]) -> str:
    data = card["data"]
    if data is None:
        return "Not known: the detector was exported without its data."
    rows = [
        (part, f"{counts['normal']:,}", f"{counts['anomaly']:,}", _kinds(counts["kinds"]))
        for part, counts in data["parts"].items()
    ]
    table = _table(("part", "normal", "anomalies", "of which"), rows)
    return (
        f"{_plain(data['name'])}, protocol `{data['protocol']}`. {data['masks_in_training']} "
        "training anomalies have masks. Fingerprint of images and split: "
        f"`{data['fingerprint']}`.\n\n{table}"
    )


def _figures_text(card: Mapping[str, Any]) -> str:
    figures = card["figures"]
    if figures is None:
        return "None: the detector was exported without a test set."
    named = {
        "AUROC": (figures["auroc"], "{:.4f}"),
        "anomalies found": (figures["anomalies_found"], "{:.1%}"),
        "false alarms among normal images": (figures["false_alarm_rate"], "{:.1%}"),
    }
    rows = [(name, *_shown(*shown)) for name, shown in named.items()]
    interval = f"{figures['confidence']:.0%} interval"
    return (
        f"{_tested_on(card['corrections'])} Intervals account for the draw of test "
        "images only: DeLong's for the AUROC, exact binomial ones for shares.\n\n"
        + _table(("figure", "value", interval), rows)
    )


def _tested_on(corrections: Mapping[str, Any] | None) -> str:
    if corrections is None or not corrections["of_test_part"]:
        return "On the test part, which had no part in any choice."
    return (
        "On the test part. Images of it that were corrected after training: "
        f"{corrections['of_test_part']:,}. They had a part in the score or its threshold, and "
        "count here with their label from training."
    )


def _threshold_text(card: Mapping[str, Any]) -> str:
    threshold = card["threshold"]
    expected = threshold["expected_false_alarm_rate"]
    text = (
        f"An image is an anomaly if its score is greater than {threshold['value']:.6g} "
        f"({threshold['rule']}). By {_normal_images(card, threshold)}, "
        f"{expected['mean']:.2%} false alarms are to be expected on new normal images of "
        f"the same source, with {expected['confidence']:.0%} confidence between "
        f"{expected['low']:.2%} and {expected['high']:.2%}. Other rates can be set at scoring time "
        "(`--max-false-alarms`)."
    )
    if threshold["int8_value"] is not None:
        text += f" The int8 model has a threshold of its own, {threshold['int8_value']:.6g}."
    return text


def _normal_images(card: Mapping[str, Any], threshold: Mapping[str, Any]) -> str:
    """The images that a threshold promises by."""
    count = threshold["normal_images"]
    corrected = card["corrections"] and card["corrections"]["normal"]
    crossed = threshold.get("cross_fitted_images", 0)  # earlier cards do not say it
    text = f"{count:,} normal {card['threshold']['source']} images"
    if crossed:
        text = (
            f"{count:,} normal images ({crossed:,} of them training images, each measured by "
            "features that were fitted without it)"
        )
    return f"{text} ({corrected:,} of them corrected)" if corrected else text


def _marks_text(card: Mapping[str, Any]) -> str:
    marks = card["pixel_threshold"]
    if marks is None:
        return "None: the detector is of an earlier version, without a pixel threshold."
    expected = marks["expected_marked_normal_rate"]
    text = (
        f"A pixel is marked if its map value is greater than {marks['value']:.6g} "
        f"({marks['rule']}). By {_normal_images(card, marks)}, "
        f"{expected['mean']:.2%} of new normal images of the same source are to be expected to "
        f"have a marked pixel, with {expected['confidence']:.0%} confidence between "
        f"{expected['low']:.2%} and {expected['high']:.2%}."
    )
    if marks["int8_value"] is not None:
        text += f" The int8 model has a pixel threshold of its own, {marks['int8_value']:.6g}."
    return text


def _limits(card: Mapping[str, Any]) -> list[str]:
    """Sentences that follow from this model and its data."""
    found = ["The promise on false alarms holds for images of the same source only."]
    if card["threshold"].get("cross_fitted_images"):
        found.append(
            "It rests on training images, too, so the rates and their intervals above are less "
            "strict than those of held-out images."
        )
    data, figures = card["data"], card["figures"]
    if data is None or figures is None:
        return [*found, "How many anomalies it finds was not measured."]
    train, test = data["parts"]["train"], data["parts"]["test"]
    if not test["anomaly"]:
        found.append("There was no anomaly to test with: how many it finds is not known.")
    unseen = [k for k, n in test["kinds"].items() if n and not train["kinds"].get(k)]
    if train["anomaly"] and unseen:
        found.append(
            f"Kinds that it was tested on but not trained on: {_plain(', '.join(unseen))}."
        )
    learnt = card["corrections"] and card["corrections"]["learnt"]
    if learnt:
        found.append(
            f"It also learnt from anomalies that were corrected after training ({learnt:,}). Their "
            "kinds are not known."
        )
    elif not train["anomaly"]:
        found.append("It learnt from normal images and synthetic anomalies only.")
    found.append("Kinds of anomalies that are not in the test may be found less often.")
    expected = card["threshold"]["expected_false_alarm_rate"]
    source = card["threshold"]["source"]
    low, high = figures["false_alarm_rate"][1:]
    if low > expected["high"]:
        found.append(
            f"The test shows more false alarms than {source} promises: its normal images seem to "
            "come from another source."
        )
    if high < expected["low"]:
        found.append(f"The test shows fewer false alarms than {source} promises.")
    return found


def _shown(figure: Sequence[float | None], form: str) -> tuple[str, str]:
    value, low, high = figure
    if value is None or math.isnan(value):
        return "not measured", ""
    interval = "not known" if low is None else f"{form.format(low)} to {form.format(high)}"
    return form.format(value), interval


def _kinds(kinds: Mapping[str, int]) -> str:
    return _plain(", ".join(f"{name} {count:,}" for name, count in kinds.items() if count))


def _plain(text: str) -> str:
    """Names from users, without what Markdown or HTML would read as more than text."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    for mark in "\\`*_[]<>|#":
        clean = clean.replace(mark, f"\\{mark}")
    return clean


def _listed(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _table(head: Sequence[str], rows: Any) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
