"""Defaults that depend on other settings: the preset, and whether the images are one's own."""

import dataclasses
from typing import Any

from ganad_tf.settings.loss_weights import LossWeights
from ganad_tf.settings.names import AUTO, EFFICIENTNET_LITE0, NO_ENCODER

SMALL, IMAGENET, PAPER = "small", "imagenet", "paper"
_SMALL: dict[str, Any] = {
    "width": 16,
    "discriminator_width": 8,
    "refine": True,
    "batch_size": 128,
    "loss_weights": LossWeights(),
}
# `small` is what two CPU cores learn in minutes, with everything that was found to help; `imagenet`
# joins frozen ImageNet features to it, as own images have them anyway. `paper` has the published
# width and losses. Expected figures: docs/method.md.
PRESETS: dict[str, dict[str, Any]] = {
    SMALL: _SMALL,
    IMAGENET: {**_SMALL, "encoder": EFFICIENTNET_LITE0},
    PAPER: {
        "width": 64,
        "discriminator_width": 64,
        "refine": False,
        "batch_size": 128,
        "loss_weights": LossWeights(feature_abc=0.0, local_abc=0.0),
    },
}
FASHION_MNIST: dict[str, Any] = {
    "average_momentum": 0.998,
    "epochs": 30,
    "clusters": 9,
    "synthetic_kinds": "rotate,shuffle,paste",
    "image_size": 32,
    # The published methods on Fashion-MNIST use no other images, so only the preset's name asks.
    "encoder": NO_ENCODER,
}
# Own images are larger, so fewer are seen in the same time: steps are small and many, and the
# moving average has to forget sooner. Their number of kinds is unknown.
OWN_IMAGES: dict[str, Any] = {
    "batch_size": 16,
    "average_momentum": 0.98,
    "epochs": AUTO,
    "clusters": AUTO,
    "synthetic_kinds": "local_defect",
    "encoder": EFFICIENTNET_LITE0,
}


def resolved_defaults(preset: str, own_images: bool) -> dict[str, Any]:
    """The default of every setting that depends on others, by the setting's name."""
    if own_images:
        return {**PRESETS[preset], **OWN_IMAGES}
    return {**FASHION_MNIST, **PRESETS[preset]}


def describe_default(name: str) -> str | None:
    """A setting's defaults for `--help`, such as `16, preset paper 64`; None if it has just one."""
    small = {**FASHION_MNIST, **PRESETS[SMALL]}
    if name == "loss_weights":
        return _describe_weights()
    if name not in {**small, **OWN_IMAGES} or name == "image_size":
        return None
    texts = [str(small[name])]
    if PRESETS[PAPER].get(name, small[name]) != small[name]:
        texts.append(f"preset paper {PRESETS[PAPER][name]}")
    if PRESETS[IMAGENET].get(name, small[name]) != small[name]:
        texts.append(f"preset imagenet {PRESETS[IMAGENET][name]}")
    if OWN_IMAGES.get(name, small[name]) != small[name]:
        texts.append(f"on own images {OWN_IMAGES[name]}")
    return ", ".join(texts)


def _describe_weights() -> str:
    usual, paper = (dataclasses.asdict(PRESETS[name]["loss_weights"]) for name in (SMALL, PAPER))
    others = [f"{name} {paper[name]}" for name in paper if paper[name] != usual[name]]
    weights = ", ".join(f"{name} {value}" for name, value in usual.items())
    return f"{weights}; preset paper {', '.join(others)}"
