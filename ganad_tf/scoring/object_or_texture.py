"""Which components see the layout of the images: a test on data at hand, without any label.

Tiles of held-out normal images are shuffled, and pieces are pasted over other places. Where the
images show an object, that destroys its layout, and a component that fits such images notices it.
A texture has no layout: then nothing notices, and small local damage is what counts. Neither family
is among the anomalies that the generator learns from on own images.

The test needs no trained generator, so it comes before the training and decides how long that is.
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
    ENCODER_DETAILS,
    ENCODER_FEATURES,
    ENCODER_PATCHES,
    GENERATOR_COMPONENTS,
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
# 0.998 and 0.91 for `COMPARED`; Fashion-MNIST class 0 has 0.95, 0.90 and 0.95.
TOLERANCE = 0.02
# With a best AUROC of at least the second value the images have a layout, with at most the first
# they are textures. Grass and gravel have 0.77, ELPV and Fashion-MNIST at least 0.95.
TEXTURE, OBJECT = 0.8, 0.9
# On textures, the shares of whole images, of details, and the factor on the generator's recipe.
# Chosen on grass (without labels, and with 20 masked defects) and gravel (with 20 labelled ones).
WHOLE_ON_TEXTURES, DETAILS_ON_TEXTURES, GENERATOR_ON_TEXTURES = 0.5, 2.0, 0.5
# Parts of the generator's recipes that its training does not change.
UNTRAINED = (PIXELS,)


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


def with_layout(config: RunConfig, plan: Plan, aurocs: Mapping[str, float]) -> Plan:
    """The plan with what follows from the layout test: shares, and how long to train.

    Args:
        config: the run's settings; epochs and a score that they name stay.
        plan: of the run.
        aurocs: of `layout_aurocs`.
    """
    shares = pretrained_shares(plan, aurocs)
    reasons = {**plan.reasons, "shares": explain_layout(aurocs)}
    epochs = plan.epochs
    learnt = set(GENERATOR_COMPONENTS) - set(UNTRAINED)
    if config.epochs == AUTO and config.score == AUTO and not learnt & shares.keys():
        epochs = min(epochs, EPOCHS_WITHOUT_SHARE)
        reasons["epochs"] = "the generator has no part in the score of such images"
    return dataclasses.replace(
        plan, layout_auroc=dict(aurocs), shares=shares, epochs=epochs, reasons=reasons
    )


def pretrained_shares(plan: Plan, aurocs: Mapping[str, float]) -> dict[str, float]:
    """The share of each component in the recipe `pretrained`.

    The distance of the encoder's features always counts, and so does the direction to the labelled
    anomalies, the more of them there are. What else counts follows from the layout test: for
    objects, the compared components that see the layout; for textures, fine details and the
    generator's recipe.

    Args:
        plan: of the run.
        aurocs: of `layout_aurocs`.
    """
    best = max(aurocs.values())
    texture = float(np.clip((OBJECT - best) / (OBJECT - TEXTURE), 0, 1))
    whole = 1 - (1 - WHOLE_ON_TEXTURES) * texture
    shares = {name: whole for name in COMPARED if aurocs[name] >= best - TOLERANCE}
    shares[ENCODER_FEATURES] = whole
    # One label says little about where anomalies lie, ten say much.
    shares[LABEL_DIRECTION] = whole * plan.n_labelled / (plan.n_labelled + 1)
    shares[ENCODER_DETAILS] = DETAILS_ON_TEXTURES * texture
    for name, share in RECIPES[plan.generator_recipe].items():
        shares[name] = shares.get(name, 0.0) + GENERATOR_ON_TEXTURES * texture * share
    return {name: share for name, share in shares.items() if share}


def explain_layout(aurocs: Mapping[str, float]) -> str:
    """One sentence for the report."""
    best = max(aurocs.values())
    seen = (
        "the images show objects, so layout and kind count"
        if best >= OBJECT
        else "the images are textures, so local damage counts"
        if best <= TEXTURE
        else "the images are between objects and textures"
    )
    return f"{seen} (a destroyed layout is noticed with AUROC {best:.2f} on validation)"
