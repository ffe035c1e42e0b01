"""Command-line flags from the settings, and settings from the flags that were given."""

import argparse
import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from ganad_tf.settings.checks import flag_of
from ganad_tf.settings.loss_weights import LossWeights, changed_weights
from ganad_tf.settings.names import score_name
from ganad_tf.settings.presets import PRESETS, SMALL, describe_default
from ganad_tf.settings.run_config import RunConfig


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be a share, such as 0.05. Received: {text!r}"
        ) from None


# What reads a flag's text, where its type does not: old names of values, and shares.
_READERS = {
    "score": score_name,
    **dict.fromkeys(("known_share", "validation_fraction", "test_fraction"), _share),
    **dict.fromkeys(("synthetic", "max_false_alarms"), _share),
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for each setting to a parser.

    Flags default to "not given", so that the preset and the data decide what was left open.
    """
    groups: dict[str, Any] = {}
    for field in dataclasses.fields(RunConfig):
        title = field.metadata["group"]
        group = groups.setdefault(title, parser.add_argument_group(title))
        _add_flag(group, field)


def _add_flag(group: Any, field: dataclasses.Field) -> None:
    names = [flag_of(field.name), *field.metadata.get("aliases", ())]
    text = field.metadata["help"].replace("%", "%%")
    common: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS}
    if field.type is bool:
        group.add_argument(
            *names, action=argparse.BooleanOptionalAction, help=_with_default(text, field), **common
        )
    elif field.type is LossWeights:
        group.add_argument(
            "--loss-weight",
            action="append",
            metavar="NAME=VALUE",
            help=_with_default(text, field),
            **common,
        )
    else:
        kinds = [t for t in typing.get_args(field.type) if t is not type(None)] or [field.type]
        group.add_argument(
            *names,
            type=field.metadata.get("parse", _READERS.get(field.name, kinds[0])),
            choices=field.metadata.get("choices"),
            metavar=None
            if "choices" in field.metadata
            else field.metadata.get("metavar", kinds[0].__name__.upper()),
            help=_with_default(text, field),
            **common,
        )


def _with_default(text: str, field: dataclasses.Field) -> str:
    default = describe_default(field.name)
    if default is None and field.default is not None:
        default = str(field.default)
    return text if default is None else f"{text} (default: {default})"


def given_settings(arguments: Mapping[str, Any], weights: LossWeights) -> dict[str, Any]:
    """The settings among parsed flags that were given.

    Args:
        arguments: the parsed flags, as `vars(namespace)`; other entries are ignored.
        weights: the loss weights that `--loss-weight` changes.

    Raises:
        UsageError: if a loss weight is malformed.
    """
    known = {field.name for field in dataclasses.fields(RunConfig)}
    given = {name: value for name, value in arguments.items() if name in known}
    if "loss_weights" in given:
        given["loss_weights"] = _parse_loss_weights(given["loss_weights"], weights)
    return given


def config_from_flags(arguments: Mapping[str, Any]) -> RunConfig:
    """The configuration that parsed flags ask for.

    Args:
        arguments: the parsed flags, as `vars(namespace)`; other entries are ignored.

    Raises:
        UsageError: if a loss weight or a value is wrong.
    """
    preset = PRESETS[arguments.get("preset", SMALL)]
    return RunConfig(**given_settings(arguments, preset["loss_weights"]))


def _parse_loss_weights(texts: Sequence[str], weights: LossWeights) -> LossWeights:
    for text in texts:
        name, _, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        weights = changed_weights(weights, {name.replace("-", "_"): number}, repr(text))
    return weights
