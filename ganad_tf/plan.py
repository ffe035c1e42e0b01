"""The plan of a run: what follows from the settings and the data, decided once."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from ganad_tf.calibration.thresholds import default_rate
from ganad_tf.data.splits import Splits
from ganad_tf.settings.names import (
    AUTO,
    DEFECTS,
    FEW_LABELS,
    LOCAL_DEFECT,
    MASKED_DEFECTS,
    NO_ENCODER,
    NOVELTY,
    PRETRAINED,
    TRAINED_COMPONENTS,
)
from ganad_tf.settings.run_config import RunConfig

_LOGGER = logging.getLogger(__name__)

# With at least half as many labelled anomalies, half of the anomalous batch is real. An anomaly
# with a mask counts as several, because it is pasted into other images. Chosen on grass.
MANY_LABELLED, MASK_COUNTS_AS = 200, 10
# Smallest shares of synthetic anomalies on own images, without and with masks. Other kinds than the
# labelled ones are to be expected there. A quarter beside masks was better than none on grass.
MIN_SYNTHETIC, MIN_SYNTHETIC_WITH_MASKS = 0.5, 0.25
# Above this size, the generator works on images reduced to half: a quarter of the cost.
MAX_GENERATOR_SIZE = 128
# The encoder was trained on images of 224 pixels. Images of at most 64 pixels are shown to it at
# 128, which costs a quarter of the time.
ENCODER_SIZE, SMALL_IMAGES, SMALL_ENCODER_SIZE = 224, 64, 128
# Epochs, where the settings leave them open: without a pretrained encoder or with masks, beside an
# encoder, and where the generator has no part in the score and only draws the reconstruction.
# Beside an encoder, 20 gave no better AUROC on grass, but with masks 0.970 instead of 0.960 on
# gravel.
EPOCHS, EPOCHS_BESIDE_ENCODER, EPOCHS_WITHOUT_SHARE = 20, 8, 5
# Share of synthetic anomalies when only one of many kinds is labelled; see
# docs/fashion_mnist.md, the mixtures.
SYNTHETIC_UNDER_UNSEEN = 0.9

# Measured values and texts. Devices may differ in their last digits, so they are not compared.
_MEASURED = ("layout_share", "layout_auroc", "reasons")
# Shares of a score that are nearer to each other are the same decision.
_SHARE_TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run learns from, and how its score and threshold are found.

    Args:
        n_labelled: labelled anomalies that are learnt from.
        n_masked: how many of them have a mask.
        synthetic_share: share of the anomalous half of a batch that is synthetic, in [0, 1].
        synthetic_kinds: see `ganad_tf.synthesis.kinds`.
        learns_masks: whether the generator learns to fail in a place rather than on a whole image.
        trains_head: whether the generator's head is trained; if not, no score uses it.
        n_clusters: k-means clusters of the labelled anomalies; None for the best silhouette.
        score: a recipe, or `auto`.
        fallback_score: the recipe for `auto` when validation cannot compare recipes.
        generator_recipe: the same without a pretrained encoder.
        all_kinds_known: whether the labelled anomalies stand for those to come.
        one_kind_known: whether all of them are known to be of one kind, and others will come.
        max_false_alarms: the promised false-alarm rate; None for the rule of `choose_threshold`.
        seed: of every draw.
        epochs: of the generator's training.
        generator_size: G, the generator's square input; larger images are reduced to it.
        encoder: the pretrained network, or `none`.
        encoder_size: E, the square that it sees.
        layout_share: how much of the differences between pixels stays in the mean of all images;
            None without an encoder. See `ganad_tf.scoring.object_or_texture`.
        layout_auroc: how well each component notices a destroyed layout; empty without an encoder.
        shares: component -> share in the recipe `pretrained`, which follow from it.
        cross_fit: whether normal training images count in the threshold, too; see
            `ganad_tf.scoring.cross_fit`.
        reasons: decision -> why, one sentence each, for the report.
    """

    n_labelled: int = 0
    n_masked: int = 0
    synthetic_share: float = 0.0
    synthetic_kinds: tuple[str, ...] = ()
    learns_masks: bool = False
    trains_head: bool = True
    n_clusters: int | None = None
    score: str = AUTO
    fallback_score: str = NOVELTY
    generator_recipe: str = NOVELTY
    all_kinds_known: bool = True
    one_kind_known: bool = False
    max_false_alarms: float | None = None
    seed: int = 0
    epochs: int = EPOCHS
    generator_size: int = 32
    encoder: str = NO_ENCODER
    encoder_size: int = 224
    layout_share: float | None = None
    layout_auroc: dict[str, float] = dataclasses.field(default_factory=dict)
    shares: dict[str, float] = dataclasses.field(default_factory=dict)
    cross_fit: bool = False
    reasons: dict[str, str] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def learns_every_kind(self) -> bool:
        """Whether the head learns from labelled anomalies of every kind that will come."""
        return self.all_kinds_known and self.trains_head and self.n_labelled > 0

    @property
    def rests_on_frozen_features(self) -> bool:
        """Whether nothing in the score is trained on the training images; known with `shares`."""
        recipe = self.fallback_score if self.score == AUTO else self.score
        is_trained = not self.shares.keys().isdisjoint(TRAINED_COMPONENTS)
        return recipe == PRETRAINED and bool(self.shares) and not is_trained

    def to_dict(self) -> dict[str, Any]:
        """Plain values for plan.json."""
        return dataclasses.asdict(self)

    def differences(self, stored: Mapping[str, Any]) -> list[str]:
        """One line for each decision that is another one in a plan.json.

        What is only measured may differ, and shares by a rounding. A plan of an earlier version
        may lack some.
        """
        mine, theirs = self.to_dict(), Plan.from_dict(stored).to_dict()
        compared = [name for name in mine if name in stored and name not in _MEASURED]
        return [
            f"{name}: {theirs[name]!r} != {mine[name]!r}"
            for name in compared
            if not _alike(mine[name], theirs[name])
        ]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Plan":
        """The inverse of `to_dict`; other entries are ignored, missing ones get the defaults."""
        known = {field.name for field in dataclasses.fields(cls)}
        kept = {name: value for name, value in values.items() if name in known}
        if "synthetic_kinds" in kept:
            kept["synthetic_kinds"] = tuple(kept["synthetic_kinds"])
        return cls(**kept)


def _alike(mine: Any, theirs: Any) -> bool:
    """Whether two decisions are the same; shares of components but for a rounding."""
    if not isinstance(mine, dict) or mine.keys() != theirs.keys():
        return mine == theirs
    return all(abs(mine[name] - theirs[name]) <= _SHARE_TOLERANCE for name in mine)


def make_plan(config: RunConfig, splits: Splits) -> Plan:
    """Decides what the settings leave to the data.

    Args:
        config: the run's settings.
        splits: the data. A folder without usable anomalies has the protocol `none`, whatever the
            settings ask for.
    """
    share, share_reason = _synthetic_share(config, splits)
    kinds = config.kinds_of_synthetic()
    # Synthetic anomalies must be made from normal images; otherwise real defects would be learnt
    # as normal. So with a share of 1 the labelled anomalies are left out.
    n_labelled, n_masked = (splits.n_labelled, splits.n_masked) if share < 1 else (0, 0)
    learns_masks = config.loss_weights.local_abc > 0 and (
        n_masked > 0 or (share > 0 and LOCAL_DEFECT in kinds)
    )
    trains_head = config.loss_weights.feature_abc > 0
    # Somebody who sorts photos has not seen every defect that will come.
    all_kinds_known = splits.protocol in ("seen", "few") and not config.data
    plan = Plan(
        n_labelled=n_labelled,
        n_masked=n_masked,
        synthetic_share=share,
        synthetic_kinds=kinds,
        learns_masks=learns_masks,
        trains_head=trains_head,
        n_clusters=None if config.clusters == AUTO else int(config.clusters),
        score=config.score,
        all_kinds_known=all_kinds_known,
        one_kind_known=splits.protocol == "unseen",
        max_false_alarms=_promised_rate(config, splits),
        seed=config.seed,
        epochs=_epochs(config, n_masked),
        generator_size=_generator_size(config.image_size or splits.image_shape[0]),
        encoder=config.encoder,
        encoder_size=_encoder_size(splits.image_shape[0]),
    )
    generator_recipe, fallback_reason = _generator_recipe(plan)
    fallback = generator_recipe
    if plan.encoder != NO_ENCODER:
        fallback, fallback_reason = PRETRAINED, "ImageNet features know more kinds of images"
    reasons = {
        "synthetic_share": share_reason,
        "fallback_score": fallback_reason,
        "learns_from": _learns_from(plan),
        "threshold": "best F1 on validation, or a false-alarm rate with too few anomalies there"
        if plan.max_false_alarms is None
        else "a promised false-alarm rate",
    }
    return dataclasses.replace(
        plan, fallback_score=fallback, generator_recipe=generator_recipe, reasons=reasons
    )


def _promised_rate(config: RunConfig, splits: Splits) -> float | None:
    """The false-alarm rate to promise; None for the rule of `choose_threshold`."""
    if config.max_false_alarms is not None or splits.protocol != "unseen":
        return config.max_false_alarms
    # Best F1 between normal images and the one known kind lies half way to it. Other kinds, which
    # are nearer to normal images, would be missed.
    return default_rate(int(np.count_nonzero(~splits.validation.is_anomaly)))


def _epochs(config: RunConfig, n_masked: int) -> int:
    if config.epochs != AUTO:
        return int(config.epochs)
    return EPOCHS if n_masked or config.encoder == NO_ENCODER else EPOCHS_BESIDE_ENCODER


def _generator_size(image_size: int) -> int:
    """The generator's input: the images' own size, or half of it for large images."""
    if image_size <= MAX_GENERATOR_SIZE or image_size % 32:
        return image_size
    return image_size // 2


def _encoder_size(image_size: int) -> int:
    """The encoder's input: what it was trained on, less for images that would only be blurred."""
    if image_size <= SMALL_IMAGES:
        return SMALL_ENCODER_SIZE
    return max(ENCODER_SIZE, image_size // 32 * 32)


def learnt_from(plan: Plan, splits: Splits) -> Splits:
    """The splits, without labelled anomalies in training if all anomalies are to be synthetic."""
    train = splits.train
    if plan.n_labelled or not splits.n_labelled:
        return splits
    return dataclasses.replace(splits, train=train.subset(np.flatnonzero(~train.is_anomaly)))


def _synthetic_share(config: RunConfig, splits: Splits) -> tuple[float, str]:
    """The share of synthetic anomalies, and why."""
    if splits.protocol == "none":
        if config.synthetic not in (None, 1):
            _LOGGER.warning(
                "--synthetic %g has no effect: no anomaly is labelled, so all are synthetic",
                config.synthetic,
            )
        return 1.0, "no anomaly is labelled"
    if config.synthetic is not None:
        return config.synthetic, "as asked for"
    if config.data:
        labelled, masked = splits.n_labelled, splits.n_masked
        masked_part = masked / max(labelled, 1)
        least = (1 - masked_part) * MIN_SYNTHETIC + masked_part * MIN_SYNTHETIC_WITH_MASKS
        counts = labelled + (MASK_COUNTS_AS - 1) * masked
        return (
            max(least, 1 - counts / MANY_LABELLED),
            f"{labelled} labelled anomalies, {masked} of them with a mask",
        )
    if splits.protocol == "unseen":
        return SYNTHETIC_UNDER_UNSEEN, "one kind of anomaly is labelled, others will come"
    return 0.0, "the labelled anomalies stand for those to come"


def _generator_recipe(plan: Plan) -> tuple[str, str]:
    """The recipe of the generator's components that fits what it learns, and why."""
    if plan.learns_masks:
        if 2 * plan.n_masked > plan.n_labelled and plan.synthetic_share <= 0.5 and plan.trains_head:
            return MASKED_DEFECTS, "most labelled defects have masks and fill half of the batches"
        return DEFECTS, "the generator learns to fail in places"
    if plan.learns_every_kind:
        return FEW_LABELS, "the head has learnt some anomalies of every kind"
    return NOVELTY, "other kinds than the labelled ones are to be expected"


def _learns_from(plan: Plan) -> str:
    labelled = f"{plan.n_labelled:,} labelled anomalies"
    made = f"synthetic anomalies ({', '.join(plan.synthetic_kinds)})"
    if plan.synthetic_share == 1:
        return f"normal images and {made}"
    if plan.synthetic_share == 0:
        return f"normal images and {labelled}"
    return f"normal images, {labelled} and {made}"
