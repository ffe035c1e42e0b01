"""The model card that every export writes: what the model is, and how far it was measured."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ganad_tf import __version__
from ganad_tf.evaluation.false_alarms import expected_rate

from .limits import CONFIDENCE_OF_CARD, auroc_interval, share_interval

if TYPE_CHECKING:
    from ganad_tf.data.splits import Splits
    from ganad_tf.scoring import Detector, Scorer

    from .parity import Row
    from .quantize import Quantized

CARD = "model_card.md"
FASHION_MNIST = "Fashion-MNIST"
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
LICENCES = {
    "code": "MIT (ganad_tf)",
    "weights": "trained on the data below, whose licence may bind them",
}
ENCODER_LICENCE = (
    "EfficientNet-Lite0, trained on ImageNet; the published weights are under Apache 2.0, others "
    "(--encoder-weights) under their own terms"
)
DATA_LICENCES = {FASHION_MNIST: "MIT"}
UNKNOWN_LICENCE = "not known to this program"


def describe_model(
    detector: "Detector", splits: "Splits", rows: "Sequence[Row]", int8: "Quantized | None"
) -> dict[str, Any]:
    """The card's content, as plain values for export.json.

    Args:
        detector: that was exported.
        splits: its images; without a fingerprint there was no test set.
        rows: the parity table; the first is Keras, whose figures are given.
        int8: how the int8 model was made, if there is one.
    """
    scorer = detector.scorer
    is_tested = bool(splits.fingerprint)
    encoder = detector.measurer.encoder is not None
    return {
        "normal": splits.normal_name,
        "data": _describe_data(splits) if is_tested else None,
        "figures": _describe_figures(rows[0]) if is_tested else None,
        "threshold": {
            "value": scorer.threshold,
            "int8_value": int8 and int8.threshold,
            "rule": scorer.explanation["threshold"],
            "normal_validation_images": len(scorer.normal_scores),
            "expected_false_alarm_rate": expected_rate(scorer.normal_scores, scorer.threshold),
        },
        "pixel_threshold": _describe_marks(scorer, int8) if detector.has_mask else None,
        "score": {
            "recipe": scorer.explanation["score"],
            "why": scorer.explanation["why"],
            "components": {c.name: c.weight for c in scorer.components},
        },
        "input": {
            "image_shape": list(detector.image_shape),
            "resize": detector.resize,
            "bit_depth": detector.bit_depth,
        },
        "licences": {
            **LICENCES,
            **({"encoder": ENCODER_LICENCE} if encoder else {}),
            "data": DATA_LICENCES.get(_data_name(splits), UNKNOWN_LICENCE)
            if is_tested
            else UNKNOWN_LICENCE,
        },
        "ganad_tf": __version__,
    }


def _describe_marks(scorer: "Scorer", int8: "Quantized | None") -> dict[str, Any]:
    """The pixel threshold, which the scorer has, and its promise."""
    assert scorer.pixel_threshold is not None
    return {
        "value": scorer.pixel_threshold,
        "int8_value": int8 and int8.pixel_threshold,
        "rule": scorer.explanation["pixel_threshold"],
        "normal_images": len(scorer.normal_peaks),
        "expected_marked_normal_rate": expected_rate(scorer.normal_peaks, scorer.pixel_threshold),
    }


def _data_name(splits: "Splits") -> str:
    # The folder's own name only: its place may tell more than its owner wants to publish.
    return splits.folder.root.name if splits.folder else FASHION_MNIST


def _describe_data(splits: "Splits") -> dict[str, Any]:
    return {
        "name": _data_name(splits),
        "protocol": splits.protocol,
        "fingerprint": splits.fingerprint,
        "parts": splits.summary(),
        "masks_in_training": splits.n_masked,
    }


def _describe_figures(keras: "Row") -> dict[str, Any]:
    """Figures on the test set, each with its interval: (value, low, high)."""
    confusion = keras.confusion
    assert confusion is not None  # only file bytes have none
    alarms = share_interval(confusion["fp"], confusion["fp"] + confusion["tn"])
    found = share_interval(confusion["tp"], confusion["tp"] + confusion["fn"])
    return {
        "confidence": CONFIDENCE_OF_CARD,
        "auroc": auroc_interval(keras.auroc, keras.auroc_error),
        "anomalies_found": found,
        "false_alarm_rate": alarms,
        "confusion": confusion,
    }


def render(card: Mapping[str, Any], description: Mapping[str, Any]) -> str:
    """The card as Markdown.

    Args:
        card: of `describe_model`.
        description: export.json's content, for files and versions.
    """
    height, width, channels = card["input"]["image_shape"]
    colour = "grey" if channels == 1 else "RGB"
    components = ", ".join(f"{name} {w:.2g}" for name, w in card["score"]["components"].items())
    sections = {
        f"Model card: {_plain(card['normal'])} and what differs from it": (
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
        "Threshold": _threshold_text(card["threshold"]),
        "Marked pixels": _marks_text(card["pixel_threshold"]),
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
        f"{_plain(data['name'])}, protocol `{data['protocol']}`, normal is "
        f"{_plain(card['normal'])}. {data['masks_in_training']} training anomalies have masks. "
        f"Fingerprint of images and split: `{data['fingerprint']}`.\n\n{table}"
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
        "On the test part, which had no part in any choice. Intervals account for the draw of test "
        "images only: DeLong's for the AUROC, exact binomial ones for shares.\n\n"
        + _table(("figure", "value", interval), rows)
    )


def _threshold_text(threshold: Mapping[str, Any]) -> str:
    expected = threshold["expected_false_alarm_rate"]
    text = (
        f"An image is an anomaly if its score is greater than {threshold['value']:.6g} "
        f"({threshold['rule']}). By {threshold['normal_validation_images']:,} normal validation "
        f"images, {expected['mean']:.2%} false alarms are to be expected on new normal images of "
        f"the same source, with {expected['confidence']:.0%} confidence between "
        f"{expected['low']:.2%} and {expected['high']:.2%}. Other rates can be set at scoring time "
        "(`--max-false-alarms`)."
    )
    if threshold["int8_value"] is not None:
        text += f" The int8 model has a threshold of its own, {threshold['int8_value']:.6g}."
    return text


def _marks_text(marks: Mapping[str, Any] | None) -> str:
    if marks is None:
        return "None: the detector is of an earlier version, without a pixel threshold."
    expected = marks["expected_marked_normal_rate"]
    text = (
        f"A pixel is marked if its map value is greater than {marks['value']:.6g} "
        f"({marks['rule']}). By {marks['normal_images']:,} normal validation images, "
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
    if not train["anomaly"]:
        found.append("It learnt from normal images and synthetic anomalies only.")
    found.append("Kinds of anomalies that are not in the test may be found less often.")
    expected = card["threshold"]["expected_false_alarm_rate"]
    low, high = figures["false_alarm_rate"][1:]
    if low > expected["high"]:
        found.append(
            "The test shows more false alarms than validation promises: its normal images seem to "
            "come from another source."
        )
    if high < expected["low"]:
        found.append("The test shows fewer false alarms than validation promises.")
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
