"""Ranges of single settings, and combinations of settings that contradict each other."""

import dataclasses
import numbers
import os
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ganad_tf.errors import UsageError
from ganad_tf.settings.loss_weights import LossWeights
from ganad_tf.settings.names import (
    ANOMALIES,
    AUTO,
    CLASSIFIER,
    EFFICIENTNET_LITE0,
    IMAGE_SIZES,
    KNOWN_SHARE,
    NO_ENCODER,
    OWN_IMAGES_GROUP,
    PRETRAINED,
    ROTATE,
    SYNTHETIC_KINDS,
)

if TYPE_CHECKING:
    from ganad_tf.settings.run_config import RunConfig


# What a field of each type may hold, and its name in errors. A bool is no number here.
_TYPES: dict[type, tuple[Any, str]] = {
    bool: (bool, "True or False"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str, "text"),
    LossWeights: ((LossWeights, Mapping), "LossWeights, or a weight for each name"),
}


def check_types(config: "RunConfig") -> None:
    """Refuses what a command line cannot give, but Python and config.json can.

    Where a field's default is None, None leaves it open.

    Raises:
        UsageError: naming the flag of a value of another type than its field's.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value is None and field.default is None:
            continue
        if value is None:
            raise UsageError(f"{flag_of(field.name)} must have a value. Received: None")
        if value == "" and "path" in field.metadata:
            raise UsageError(f"{flag_of(field.name)} must be a path. Received: an empty text")
        kinds = [t for t in typing.get_args(field.type) if t is not type(None)] or [field.type]
        is_path = "path" in field.metadata and isinstance(value, os.PathLike)
        if not is_path and not any(_is_a(value, kind) for kind in kinds):
            expected = " or ".join(_TYPES[kind][1] for kind in kinds)
            if "parse" in field.metadata:
                expected = "a whole number or auto"
            elif "path" in field.metadata:
                expected = "a path"
            raise UsageError(f"{flag_of(field.name)} must be {expected}. Received: {value!r}")


def _is_a(value: Any, kind: type) -> bool:
    return isinstance(value, _TYPES[kind][0]) and (kind is bool or not isinstance(value, bool))


def check_settings(config: "RunConfig") -> None:
    """Checks a configuration whose defaults are filled in.

    Raises:
        UsageError: naming the flag of a value that is out of range or contradicts another.
    """
    for field in dataclasses.fields(config):
        _check_range(field, getattr(config, field.name))
    _check_sizes(config)
    _check_combinations(config)


def flag_of(name: str) -> str:
    """`batch_size` -> `--batch-size`."""
    return "--" + name.replace("_", "-")


def _check_range(field: dataclasses.Field, value: Any) -> None:
    flag = flag_of(field.name)
    choices = field.metadata.get("choices")
    if choices and value is not None and value not in choices:
        raise UsageError(
            f"{flag} must be one of {', '.join(map(str, choices))}. Received: {value!r}"
        )
    low, high = field.metadata.get("minimum"), field.metadata.get("maximum")
    may_be_auto = "parse" in field.metadata
    if value is None or (low is None and high is None) or (may_be_auto and value == AUTO):
        return
    if isinstance(value, str):
        raise UsageError(f"{flag} must be a number or auto. Received: {value!r}")
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        limits = f"at least {low}" if high is None else f"in [{low}, {high}]"
        raise UsageError(f"{flag} must be {limits}. Received: {value}")


def _check_sizes(config: "RunConfig") -> None:
    if config.batch_size % 2:
        raise UsageError(
            "--batch-size must be even: half of it is normal, half anomalous. "
            f"Received: {config.batch_size}"
        )
    if config.image_size is not None and config.image_size not in IMAGE_SIZES:
        raise UsageError(
            f"--image-size must be a multiple of {IMAGE_SIZES.step}, because the U-Net halves it "
            f"four times. Received: {config.image_size}"
        )


def _check_combinations(config: "RunConfig") -> None:
    if config.protocol != "unseen" and config.known is not None:
        raise UsageError(
            "--known names the labelled class under --protocol unseen. "
            f"Received: --known {config.known} --protocol {config.protocol}"
        )
    if config.protocol != "unseen" and config.known_share != KNOWN_SHARE:
        raise UsageError(
            "--known-share is the share of labelled anomalies under --protocol unseen. "
            f"Received: --known-share {config.known_share} --protocol {config.protocol}"
        )
    if config.protocol != "few" and config.anomalies != ANOMALIES:
        raise UsageError(
            "--anomalies is the number of labelled anomalies under --protocol few. "
            f"Received: --anomalies {config.anomalies} --protocol {config.protocol}"
        )
    for field in [] if config.data else dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.metadata["group"] == OWN_IMAGES_GROUP and value != field.default:
            raise UsageError(
                f"{flag_of(field.name)} is a setting of own images, --data. "
                f"Received: {value} without --data"
            )
    if config.data and config.normal != type(config).normal:
        raise UsageError(
            "--normal names the normal class of Fashion-MNIST; with --data the folders say what is "
            f"normal. Received: --normal {config.normal}"
        )
    if config.data and config.protocol not in ("seen", "none"):
        raise UsageError(
            "--protocol must be seen or none with --data: the folders say which images are "
            f"labelled. Received: {config.protocol}"
        )
    if config.protocol == "none" and config.synthetic not in (None, 1):
        raise UsageError(
            "--synthetic must be 1 under --protocol none: there are no other anomalies. "
            f"Received: {config.synthetic}"
        )
    if config.score == CLASSIFIER and not config.loss_weights.feature_abc:
        raise UsageError(
            "--score classifier needs the loss that trains it, --loss-weight feature_abc above "
            "0. Received: 0"
        )
    if config.score == PRETRAINED and config.encoder == NO_ENCODER:
        raise UsageError(
            f"--score {PRETRAINED} needs a pretrained network, --encoder {EFFICIENTNET_LITE0}. "
            f"Received: --encoder {NO_ENCODER}"
        )
    if config.encoder_weights and config.encoder == NO_ENCODER:
        raise UsageError(
            "--encoder-weights needs a network to load them into, such as --encoder "
            f"{EFFICIENTNET_LITE0}. Received: --encoder {NO_ENCODER}"
        )
    unknown = [kind for kind in config.kinds_of_synthetic() if kind not in SYNTHETIC_KINDS]
    if unknown:
        raise UsageError(
            f"--synthetic-kinds must be some of {', '.join(SYNTHETIC_KINDS)}, separated by "
            f"commas. Received: {config.synthetic_kinds!r}"
        )
    if config.random_rotation and ROTATE in config.kinds_of_synthetic():
        raise UsageError(
            "--random-rotation makes rotated images normal, so --synthetic-kinds must not hold "
            f"rotate, which makes them anomalous. Received: {config.synthetic_kinds}"
        )
