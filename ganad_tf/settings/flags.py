"""Command-line flags from the settings, and settings from flags and presets."""

import argparse
import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from ganad_tf.errors import UsageError
from ganad_tf.settings.loss_weights import LossWeights
from ganad_tf.settings.run_config import OWN_IMAGES, PRESETS, RunConfig, flag_of


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for each setting, and `--preset`, to a parser.

    Flags default to "not given", so that a preset fills in only what the user left open.
    """
    groups: dict[str, Any] = {}
    for field in dataclasses.fields(RunConfig):
        title = field.metadata["group"]
        group = groups.setdefault(title, parser.add_argument_group(title))
        if title == "networks" and field.name == "image_size":
            group.add_argument(
                "--preset",
                choices=tuple(PRESETS),
                help="small: minutes on two CPU cores; paper: the published width and losses, for "
                "a GPU (default: small)",
            )
        _add_flag(group, field)


def _add_flag(group, field: dataclasses.Field) -> None:
    flag, text = flag_of(field.name), field.metadata["help"].replace("%", "%%")
    common: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS}
    if field.type is bool:
        group.add_argument(
            flag, action=argparse.BooleanOptionalAction, help=_with_default(text, field), **common
        )
    elif field.type is LossWeights:
        names = ", ".join(f"{f.name} {f.default}" for f in dataclasses.fields(LossWeights))
        group.add_argument(
            "--loss-weight",
            action="append",
            metavar="NAME=VALUE",
            help=f"{text}. Defaults: {names}",
            **common,
        )
    else:
        kinds = [t for t in typing.get_args(field.type) if t is not type(None)] or [field.type]
        group.add_argument(
            flag,
            type=field.metadata.get("parse", kinds[0]),
            choices=field.metadata.get("choices"),
            metavar=None
            if "choices" in field.metadata
            else field.metadata.get("metavar", kinds[0].__name__.upper()),
            help=_with_default(text, field),
            **common,
        )


def _with_default(text: str, field: dataclasses.Field) -> str:
    return text if field.default is None else f"{text} (default: {field.default})"


def config_from_flags(
    arguments: Mapping[str, Any], preset: str | None, base: RunConfig | None = None
) -> RunConfig:
    """Builds the configuration: the defaults, a preset, what suits own images, the given flags.

    Args:
        arguments: the parsed flags, as `vars(namespace)`; other entries are ignored.
        preset: a name in `PRESETS`, or `None` for none.
        base: what to start from instead of the defaults.

    Raises:
        UsageError: if a loss weight or a value is wrong.
    """
    base = base or RunConfig()
    if preset:
        base = dataclasses.replace(base, **PRESETS[preset])
    if preset and arguments.get("data"):
        base = dataclasses.replace(base, **OWN_IMAGES)
    known = {field.name for field in dataclasses.fields(RunConfig)}
    given = {name: value for name, value in arguments.items() if name in known}
    if "loss_weights" in given:
        given["loss_weights"] = _parse_loss_weights(given["loss_weights"], base.loss_weights)
    return dataclasses.replace(base, **given)


def _parse_loss_weights(texts: list[str], weights: LossWeights) -> LossWeights:
    names = [field.name for field in dataclasses.fields(LossWeights)]
    values = {}
    for text in texts:
        name, _, value = text.partition("=")
        name = name.replace("-", "_")
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if name not in names or not 0 <= number < float("inf"):
            raise UsageError(
                "--loss-weight must be NAME=VALUE with VALUE at least 0 and NAME one of "
                f"{', '.join(names)}. Received: {text!r}"
            )
        values[name] = number
    return dataclasses.replace(weights, **values)
