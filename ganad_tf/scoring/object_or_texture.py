"""Whether the images show objects or a texture, and what counts in the score: no label is needed.

Objects stand in the same place in every image, so the mean of all normal images still shows one.
The mean of a texture's images is flat. On textures, small local damage counts. For objects, a
second test finds the components that see them: tiles of held-out normal images are shuffled, and
pieces are pasted over other places. A component that fits such images notices it. Neither family
is among the anomalies that the generator learns from on own images.

The tests need no trained generator, so they come before the training and decide how long that is.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from ganad_tf.data.images import LabelledImages
from ganad_tf.plan import EPOCHS_WITHOUT_SHARE, Plan
from ganad_tf.preprocessing import to_network
from ganad_tf.scoring.encoder_features import EncoderFeatures
from ganad_tf.scoring.feature_distance import FeatureDistance, averaged_pixels
from ganad_tf.scoring.map_batches import map_batches
from ganad_tf.settings.names import (
    AUTO,
    CLASSIFIER,
    ENCODER_DETAILS,
    ENCODER_FEATURES,
    ENCODER_PATCHES,
    FEATURES,
    LABEL_DIRECTION,
    PASTE,
    PIXELS,
    RECIPES,
    SHUFFLE,
)
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.synthesis.kinds import KINDS

FAMILIES = (SHUFFLE, PASTE)
# Components that are compared by the test; none of them is trained on anomalies.
COMPARED = (ENCODER_FEATURES, ENCODER_PATCHES, PIXELS)
# Images that are tested; more would cost time and change little.
MAX_IMAGES = 200
BATCH = 32
# A component joins the score if its AUROC is at most this far below the best one. ELPV has 0.998,
# 0.998 and 0.91 for `COMPARED`; Fashion-MNIST class 0 has 0.96, 0.90 and 0.93, and there pixels
# help.
TOLERANCE = 0.03
# With at least the second share of `layout_share` the images show objects, with at most the first
# they are textures. ELPV has 0.54, the classes of Fashion-MNIST 0.38 to 0.81; grass and gravel have
# 0.001, and so has brick, although shuffled tiles are noticed there: they cut through the joints.
TEXTURE, OBJECT = 0.05, 0.2
# Whole objects are compared at this size, if the encoder sees larger ones: fewer details distract
# from what kind of thing this is, at a third of the cost of 224 pixels. Chosen on ELPV, splits 10
# to 12 (AUROC of the distance alone at 96, 128, 160 and 224 pixels: 0.914, 0.920, 0.914, 0.910) and
# on classes 2, 4, 8 and 9 of Fashion-MNIST (0.957 at 128 and at 224, 0.942 at 64).
WHOLE_OBJECT_SIZE = 128
# On textures, the shares of whole images, of details, and the factor on the generator's recipe.
# Chosen on grass (without labels, and with 20 masked defects) and gravel (with 20 labelled ones).
WHOLE_ON_TEXTURES, DETAILS_ON_TEXTURES, GENERATOR_ON_TEXTURES = 0.5, 2.0, 0.5
# The factor on the generator's recipe where it was trained on anomalies of whole images, as on
# Fashion-MNIST. It then stands for the compared components. Chosen on classes 0 and 6 under `none`.
GENERATOR_ON_WHOLE_IMAGES = 0.5
# Shares where labelled anomalies of every kind are known. Chosen on classes 0 and 6 with 60 and 600
# of them.
KNOWN_KINDS = {LABEL_DIRECTION: 1.0, CLASSIFIER: 0.5, ENCODER_FEATURES: 0.3, FEATURES: 0.3}
# The factor on the share of the direction where it leads to one kind of several. On classes 0, 6
# and 7, distance and direction together had 0.935 with it and 0.921 without.
DIRECTION_TO_ONE_KIND = 0.25


def layout_share(rows: np.ndarray, channels: int) -> float:
    """How much of the differences between pixels stays in the mean of all images.

    Args:
        rows: `averaged_pixels` of normal images, float [N, D].
        channels: C; the mean of each channel of each image does not count.

    Returns:
        The variance over the pixels of the mean image, divided by their mean variance in single
        images, less what so few images give by chance. About 0 for textures, 1 for equal images.
    """
    pixels = rows.reshape(len(rows), -1, channels)
    differences = pixels - pixels.mean(axis=1, keepdims=True)
    single = float(np.mean(differences**2))
    if not single:
        return 1.0
    share = float(np.mean(differences.mean(axis=0) ** 2)) / single
    by_chance = 1 / len(rows)
    return max(0.0, (share - by_chance) / (1 - by_chance)) if len(rows) > 1 else 1.0


def whole_size(encoder_size: int, share: float) -> int:
    """The square at which the encoder sees whole images.

    Args:
        encoder_size: E, the square for places and details.
        share: of `layout_share`.
    """
    return min(encoder_size, WHOLE_OBJECT_SIZE) if share >= OBJECT else encoder_size


def layout_aurocs(
    encoder: EncoderFeatures,
    pixels: FeatureDistance,
    validation: LabelledImages,
    plan: Plan,
) -> dict[str, float]:
    """How well each of `COMPARED` separates normal images from ones with a destroyed layout.

    Args:
        encoder: fitted to normal training images.
        pixels: the same of averaged pixels.
        validation: images that nothing was fitted to; the normal ones are used.
        plan: of the run.

    Returns:
        Component -> mean AUROC over `FAMILIES`.
    """
    normals = np.flatnonzero(~validation.is_anomaly)[:MAX_IMAGES]
    images = np.asarray(validation.images[normals])

    def values(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        found, _ = encoder.measure(batch, COMPARED)
        return {
            **found,
            PIXELS: pixels(averaged_pixels(to_network(batch, plan.generator_size))),
        }

    def measure(batch: np.ndarray) -> dict[str, np.ndarray]:
        return map_batches(values, batch, np.arange(len(batch)), BATCH)

    before = measure(images)
    truth = np.repeat([False, True], len(images))
    aurocs: dict[str, list[float]] = {name: [] for name in COMPARED}
    for family in FAMILIES:
        changed, _ = KINDS[family].make(tf.constant(images), tf.constant([plan.seed, 0]))
        after = measure(changed.numpy())
        for name in COMPARED:
            scores = np.concatenate([before[name], after[name]])
            aurocs[name].append(float(roc_auc_score(truth, scores)))
    return {name: float(np.mean(values)) for name, values in aurocs.items()}


def with_layout(config: RunConfig, plan: Plan, share: float, aurocs: Mapping[str, float]) -> Plan:
    """The plan with what follows from the tests: shares, and how long to train.

    Args:
        config: the run's settings; epochs and a score that they name stay.
        plan: of the run.
        share: of `layout_share`.
        aurocs: of `layout_aurocs`.
    """
    reasons = {**plan.reasons, "shares": explain_shares(plan, share)}
    settled = dataclasses.replace(
        plan,
        layout_share=share,
        layout_auroc=dict(aurocs),
        shares=pretrained_shares(plan, share, aurocs),
        reasons=reasons,
    )
    if config.epochs != AUTO or not settled.rests_on_frozen_features:
        return settled
    reasons = {**reasons, "epochs": "the generator has no part in the score of such images"}
    epochs = min(plan.epochs, EPOCHS_WITHOUT_SHARE)
    return dataclasses.replace(settled, epochs=epochs, reasons=reasons)


def pretrained_shares(plan: Plan, share: float, aurocs: Mapping[str, float]) -> dict[str, float]:
    """The share of each component in the recipe `pretrained`.

    The distance of the encoder's features always counts, and so does the direction to the labelled
    anomalies, the more of them there are. What else counts follows from the tests: for objects,
    the compared components that see them; for textures, fine details and the generator's recipe. A
    generator that was trained on anomalies of whole images counts instead of the compared
    components, unless pixels miss a destroyed layout. Where labelled anomalies of every kind are
    known, what has learnt from them counts most.

    Args:
        plan: of the run.
        share: of `layout_share`.
        aurocs: of `layout_aurocs`.
    """
    if plan.learns_every_kind:
        return dict(KNOWN_KINDS)
    best = max(aurocs.values())
    texture = float(np.clip((OBJECT - share) / (OBJECT - TEXTURE), 0, 1))
    whole = 1 - (1 - WHOLE_ON_TEXTURES) * texture
    shares = {ENCODER_FEATURES: whole}
    if plan.learns_masks:
        shares |= {name: whole for name in COMPARED if aurocs[name] >= best - TOLERANCE}
    # One label says little about where anomalies lie, ten say much.
    shares[LABEL_DIRECTION] = whole * plan.n_labelled / (plan.n_labelled + 1)
    if plan.one_kind_known:
        shares[LABEL_DIRECTION] *= DIRECTION_TO_ONE_KIND
    shares[ENCODER_DETAILS] = DETAILS_ON_TEXTURES * texture
    if plan.learns_masks:
        generator = GENERATOR_ON_TEXTURES * texture
    else:  # what it measures rests on pixels
        generator = GENERATOR_ON_WHOLE_IMAGES * (aurocs[PIXELS] >= best - TOLERANCE)
    for name, part in RECIPES[plan.generator_recipe].items():
        shares[name] = shares.get(name, 0.0) + generator * part
    if not plan.trains_head:
        shares.pop(CLASSIFIER, None)
    return {name: part for name, part in shares.items() if part}


def explain_shares(plan: Plan, share: float) -> str:
    """One sentence for the report."""
    if plan.learns_every_kind:
        return "labelled anomalies of every kind are known, so what learnt from them counts most"
    # A generator that learns whole images says nothing about the layout of their parts.
    what = "layout and kind count" if plan.learns_masks else "their kind counts"
    seen = (
        f"the images show objects, so {what}"
        if share >= OBJECT
        else "the images are textures, so local damage counts"
        if share <= TEXTURE
        else "the images are between objects and textures"
    )
    return f"{seen} (their mean keeps {share:.0%} of the differences between pixels)"
