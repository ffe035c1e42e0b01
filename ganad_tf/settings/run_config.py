"""One frozen dataclass of settings: the flags, the run's config.json and the docs come from it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ganad_tf.errors import ArtefactError, UsageError
from ganad_tf.settings.loss_weights import LossWeights

# `small` is what two CPU cores learn in minutes, with all that was found to help; `paper` has the
# published width and losses. Expected figures: README, "How it differs from the paper".
PRESETS: dict[str, dict[str, Any]] = {
    "small": {"width": 16, "discriminator_width": 8, "refine": True, "batch_size": 128},
    "paper": {
        "width": 64,
        "discriminator_width": 64,
        "refine": False,
        "batch_size": 128,
        "loss_weights": LossWeights(feature_abc=0.0, local_abc=0.0),
    },
}
# What suits own images: large ones cost so much that few are seen, so steps are small and many, and
# the moving average must forget sooner.
OWN_IMAGES: dict[str, Any] = {"batch_size": 16, "average_momentum": 0.98, "epochs": 20}
# From half as many labelled anomalies on, they fill half of the anomalous images in training. One
# with a mask goes into other images and so counts as several; it may fill more than half; by
# experiment on grass, a quarter of synthetic ones beside it finds more than none.
MANY_LABELLED, MASKED_COUNTS = 200, 10
LEAST_SYNTHETIC, LEAST_BESIDE_MASKED = 0.5, 0.25
# Kinds of synthetic anomalies; here, so that `--help` needs no TensorFlow.
SYNTHETIC_KINDS = ("turn", "shuffle", "paste", "blot")
ALL_BUT_BLOT = "turn,shuffle,paste"
# Share of synthetic anomalies where one kind of many is labelled. By experiment, see
# benchmarks/README.md, the mixtures.
UNSEEN_SYNTHETIC = 0.9


def _setting(default, group: str, help: str, **metadata):
    metadata = {"group": group, "help": help, **metadata}
    return dataclasses.field(default=default, metadata=metadata)


def _cluster_count(text: str) -> int | str:
    if text != "auto" and not text.isdecimal():
        raise UsageError(f"--clusters must be a number or auto. Received: {text!r}")
    return text if text == "auto" else int(text)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's result. Each field is a flag of the same name.

    Raises:
        UsageError: when a value is out of its range or two values contradict each other.
    """

    normal: str = _setting(
        "7", "data", "the normal class of Fashion-MNIST, by number (0-9) or name (sneaker)"
    )
    protocol: str = _setting(
        "seen",
        "data",
        "which anomalies are labelled in training: all nine classes (seen), one class (unseen), "
        "a few of all nine (few), or none",
        choices=("seen", "unseen", "few", "none"),
    )
    known: str | None = _setting(
        None, "data", "the labelled anomaly class under --protocol unseen (default: normal + 1)"
    )
    anomalies: int = _setting(
        600, "data", "how many labelled anomalies --protocol few keeps", minimum=10
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
    clusters: int | str | None = _setting(
        None,
        "data",
        "number of k-means clusters (Ferrari and Enneifer: 3), or auto: the one with the best "
        "silhouette (default: 9, on own images auto)",
        minimum=1,
        parse=_cluster_count,
        metavar="INT|auto",
    )

    data: str | None = _setting(
        None,
        "own images",
        "folder of images instead of Fashion-MNIST: normal/ and anomaly/[KIND/], or the layout of "
        "MVTec AD",
    )
    channels: int | None = _setting(
        None, "own images", "1 grey, 3 colour (default: grey if all images are)", choices=(1, 3)
    )
    fit: str = _setting(
        "stretch",
        "own images",
        "images that are not square are stretched, or padded with black after their longer side "
        "has been scaled to --image-size",
        choices=("stretch", "pad"),
    )
    test_fraction: float = _setting(
        0.3,
        "own images",
        "share of the images held out for testing, where the layout has no test part",
        minimum=0.01,
        maximum=0.9,
    )
    skip_bad: bool = _setting(False, "own images", "go on without files that cannot be used")
    split: str | None = _setting(
        None, "own images", "split.csv of an earlier run, to repeat its split"
    )

    image_size: int = _setting(
        32, "networks", "the networks' square input in pixels, a multiple of 16", minimum=16
    )
    width: int = _setting(
        16, "networks", "channels of the generator's first step (paper: 64)", minimum=1
    )
    discriminator_width: int = _setting(
        8, "networks", "channels of each discriminator's first step (paper: 64)", minimum=1
    )
    refine: bool = _setting(
        True, "networks", "residual 3x3 convolutions deep in the encoder (not in the paper)"
    )

    epochs: int = _setting(
        30,
        "training",
        "number of epochs, on own images 20; an epoch is --steps-per-epoch batches",
        minimum=1,
    )
    steps_per_epoch: int = _setting(100, "training", "batches in an epoch", minimum=1)
    batch_size: int = _setting(
        128,
        "training",
        "images in a batch, half normal, half anomalous; on own images 16",
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
        0.998,
        "training",
        "moving average of the weights: share of the old average kept in a step; on own images "
        "0.98",
        minimum=0.0,
        maximum=0.99999,
    )
    flip: bool = _setting(True, "training", "mirror half of the training images")
    shift: int = _setting(
        1, "training", "shift training images by up to this many pixels", minimum=0
    )
    turn: bool = _setting(
        False,
        "training",
        "turn training images by random quarters, for images that have no top, such as of gravel",
    )
    synthetic: float | None = _setting(
        None,
        "training",
        "share of the anomalous half that is made from normal images (default: 1 without labelled "
        "anomalies, 0.9 under unseen, else 0; on own images 0.5, with few labelled ones more, with "
        "masks of them less)",
        minimum=0.0,
        maximum=1.0,
    )
    synthetic_kinds: str | None = _setting(
        None,
        "training",
        "how they are made, several separated by commas: turn, shuffle, paste change the whole "
        "picture, blot a place in it (default: turn,shuffle,paste; on own images blot)",
    )
    abc_scale: float = _setting(
        1.0,
        "training",
        "factor on the error inside the ABC loss",
        minimum=1e-3,
        maximum=1000.0,
    )
    loss_weights: LossWeights = _setting(
        LossWeights(), "training", "weight of a loss as NAME=VALUE; repeatable"
    )

    score: str = _setting(
        "auto",
        "scoring",
        "what the anomaly score is made of; auto chooses on validation data and says why",
        choices=(
            *("auto", "reconstruction", "features", "local", "spot"),
            *("novelty", "mixed", "defects", "taught", "classifier", "joint"),
        ),
    )
    max_false_alarms: float | None = _setting(
        None,
        "scoring",
        "set the threshold for at most this share of false alarms among normal images (default: "
        "the threshold of best F1 on validation; with fewer than 20 anomalies there, 0.05 or the "
        "lowest rate that so few normal images can promise)",
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
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        if self.batch_size % 2:
            raise UsageError(
                "--batch-size must be even: half of it is normal, half anomalous. "
                f"Received: {self.batch_size}"
            )
        if self.image_size % 16:
            raise UsageError(
                "--image-size must be a multiple of 16, because the U-Net halves it four times. "
                f"Received: {self.image_size}"
            )

        if self.data and self.protocol not in ("seen", "none"):
            raise UsageError(
                "--protocol must be seen or none with --data: whoever is labelled stands in the "
                f"folders. Received: {self.protocol}"
            )
        if self.protocol == "none" and self.synthetic not in (None, 1):
            raise UsageError(
                "--synthetic must be 1 under --protocol none: no other anomalies are there. "
                f"Received: {self.synthetic}"
            )
        if self.score == "classifier" and not self.loss_weights.feature_abc:
            raise UsageError(
                "--score classifier needs the loss that trains it, --loss-weight feature_abc above "
                "0. Received: 0"
            )
        if self.turn and "turn" in self.kinds_of_synthetic():
            raise UsageError(
                "--turn makes turned images normal, so --synthetic-kinds must not hold turn, which "
                f"makes them anomalous. Received: {','.join(self.kinds_of_synthetic())}"
            )
        unknown = [kind for kind in self.kinds_of_synthetic() if kind not in SYNTHETIC_KINDS]
        if unknown:
            raise UsageError(
                f"--synthetic-kinds must be some of {', '.join(SYNTHETIC_KINDS)}, separated by "
                f"commas. Received: {self.synthetic_kinds!r}"
            )

    def synthetic_share(self, protocol: str, labelled: int = 0, masked: int = 0) -> float:
        """`synthetic`, or its default: all without labelled anomalies, on own images most.

        Args:
            protocol: of the split; a folder without usable anomalies is `none`, whatever was asked.
            labelled: how many labelled anomalies there are to learn from.
            masked: how many of them have a mask.
        """
        if protocol == "none":
            return 1.0
        if self.synthetic is None:
            # Own images come with few kinds of anomalies, and others are to be expected. A handful
            # should not fill half of all batches.
            if self.data:
                counts = labelled + (MASKED_COUNTS - 1) * masked
                part = masked / max(labelled, 1)
                least = (1 - part) * LEAST_SYNTHETIC + part * LEAST_BESIDE_MASKED
                return max(least, 1 - counts / MANY_LABELLED)
            return UNSEEN_SYNTHETIC if protocol == "unseen" else 0.0
        return self.synthetic

    def kinds_of_synthetic(self) -> tuple[str, ...]:
        """`synthetic_kinds` one by one, or their default: what is wrong with a product is a defect
        in some place, what is wrong with a piece of clothing is that it is another one."""
        return tuple((self.synthetic_kinds or ("blot" if self.data else ALL_BUT_BLOT)).split(","))

    def uncompared_score(self, protocol: str, labelled: int = 0, masked: int = 0) -> str:
        """What `score` chooses where labelled anomalies cannot tell, being too few or of too few
        kinds: where the generator has learnt to fail in the place of a blot or of a labelled
        anomaly with a mask, a score of places; where a classifier has seen all kinds, or those with
        masks more often than blots, one that trusts it more."""
        share = self.synthetic_share(protocol, labelled, masked)
        blots = "blot" in self.kinds_of_synthetic()
        if self.loss_weights.local_abc and (masked or (share and blots)):
            taught = 2 * masked > labelled and share <= 0.5
            return "taught" if taught and self.loss_weights.feature_abc else "defects"
        knows_kinds = self.all_kinds_known(protocol) and self.loss_weights.feature_abc
        return "mixed" if knows_kinds else "novelty"

    def all_kinds_known(self, protocol: str) -> bool:
        """Whether the labelled anomalies stand for those to come. Whoever sorted a folder of photos
        has not seen every defect that will come."""
        return protocol in ("seen", "few") and not self.data

    def cluster_count(self) -> int | None:
        """`clusters`, or its default; None: as many as the silhouette says."""
        count = self.clusters or ("auto" if self.data else 9)
        return None if count == "auto" else count

    def to_dict(self) -> dict[str, Any]:
        """Plain values for config.json."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RunConfig":
        """The inverse of `to_dict`.

        Raises:
            ArtefactError: if a setting is unknown, as from another version.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ArtefactError(
                f"config.json: expected settings of this version. Received: {', '.join(unknown)}"
            )
        values = dict(values)
        if isinstance(values.get("loss_weights"), Mapping):
            values["loss_weights"] = LossWeights(**values["loss_weights"])
        return cls(**values)

    def differences(self, other: "RunConfig") -> list[str]:
        """One line for each setting in which two configurations differ."""
        mine, theirs = self.to_dict(), other.to_dict()
        return [
            f"{name}: {mine[name]!r} != {theirs[name]!r}"
            for name in mine
            if mine[name] != theirs[name]
        ]


def _check(field: dataclasses.Field, value) -> None:
    flag = flag_of(field.name)
    choices = field.metadata.get("choices")
    if choices and value is not None and value not in choices:
        raise UsageError(
            f"{flag} must be one of {', '.join(map(str, choices))}. Received: {value!r}"
        )
    low, high = field.metadata.get("minimum"), field.metadata.get("maximum")
    if value is None or value == "auto" or (low is None and high is None):
        return
    if isinstance(value, str):
        raise UsageError(f"{flag} must be a number or auto. Received: {value!r}")
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        limits = f"at least {low}" if high is None else f"in [{low}, {high}]"
        raise UsageError(f"{flag} must be {limits}. Received: {value}")


def flag_of(name: str) -> str:
    """`batch_size` -> `--batch-size`."""
    return "--" + name.replace("_", "-")
