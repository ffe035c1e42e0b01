"""What counts in the score follows from whether the images have a layout."""

import dataclasses

import numpy as np
import pytest

from ganad_tf.plan import EPOCHS_BESIDE_ENCODER, EPOCHS_WITHOUT_SHARE, Plan
from ganad_tf.scoring.object_or_texture import (
    explain_shares,
    layout_share,
    pretrained_shares,
    whole_size,
    with_layout,
)
from ganad_tf.settings.run_config import RunConfig

OBJECTS = {"encoder_features": 0.998, "encoder_patches": 0.997, "pixels": 0.91}
SMALL_OBJECTS = {"encoder_features": 0.947, "encoder_patches": 0.896, "pixels": 0.953}
TEXTURE = {"encoder_features": 0.76, "encoder_patches": 0.49, "pixels": 0.43}
# How much of the differences between pixels stays in the mean image.
SHARES = {"objects": 0.54, "texture": 0.001}
GENERATOR_ONLY = {"max_error", "patch", "patch_features", "classifier", "encoder_details"}


def shares(aurocs, n_labelled=0, recipe="defects"):
    share = SHARES["texture" if aurocs is TEXTURE else "objects"]
    plan = Plan(
        n_labelled=n_labelled, generator_recipe=recipe, learns_masks=True, all_kinds_known=False
    )
    return pretrained_shares(plan, share, aurocs)


def test_for_objects_the_components_that_see_the_layout_count():
    assert shares(OBJECTS) == {"encoder_features": 1.0, "encoder_patches": 1.0}
    assert shares(SMALL_OBJECTS) == {"encoder_features": 1.0, "pixels": 1.0}


def test_for_textures_details_and_the_generator_count():
    made = shares(TEXTURE)
    assert set(made) == {"encoder_features", *GENERATOR_ONLY}
    assert made["encoder_features"] == 0.5
    assert made["max_error"] == 0.5
    assert made["encoder_details"] == 2.0
    masked = shares(TEXTURE, n_labelled=18, recipe="masked_defects")
    assert masked["classifier"] == 1.0


def test_a_generator_trained_on_whole_images_counts_on_objects_too():
    made = pretrained_shares(Plan(generator_recipe="novelty"), SHARES["objects"], SMALL_OBJECTS)
    assert made == {
        **{"encoder_features": 1.0, "features": 0.5, "pixels": 0.5},
        **{"patch_features": 0.25, "classifier": 0.125},
    }


def test_a_head_that_is_not_trained_does_not_count():
    plan = Plan(generator_recipe="novelty", trains_head=False)
    assert "classifier" not in pretrained_shares(plan, SHARES["objects"], SMALL_OBJECTS)


def test_the_layout_is_named_only_where_it_counts():
    share = SHARES["objects"]
    assert "layout and kind count" in explain_shares(Plan(learns_masks=True), share)
    assert "their kind counts" in explain_shares(Plan(), share)


def test_a_generator_trained_on_whole_images_does_not_count_where_pixels_see_nothing():
    """As on Fashion-MNIST class 5."""
    plan = Plan(generator_recipe="novelty")
    aurocs = {**SMALL_OBJECTS, "pixels": 0.8}
    assert pretrained_shares(plan, SHARES["objects"], aurocs) == {"encoder_features": 1.0}


@pytest.mark.parametrize(("labels", "share"), [(0, None), (1, 1 / 2), (10, 10 / 11)])
def test_the_direction_counts_more_with_more_labels(labels, share):
    assert shares(OBJECTS, labels).get("label_direction") == share


def test_the_direction_to_one_kind_of_several_counts_less():
    plan = Plan(n_labelled=9, generator_recipe="novelty", all_kinds_known=False)
    one = dataclasses.replace(plan, one_kind_known=True)
    several, single = (pretrained_shares(p, 0.5, OBJECTS)["label_direction"] for p in (plan, one))
    assert single == several / 4


def test_where_every_kind_is_labelled_what_learnt_from_them_counts_most():
    plan = Plan(n_labelled=54, generator_recipe="few_labels")
    made = pretrained_shares(plan, 0.5, OBJECTS)
    assert max(made, key=made.get) == "label_direction"
    assert made["classifier"] > made["encoder_features"]
    assert "every kind" in explain_shares(plan, 0.5)


def test_the_way_from_textures_to_objects_has_no_jump():
    before = None
    for step in range(101):
        plan = Plan(generator_recipe="defects", learns_masks=True)
        made = pretrained_shares(plan, 0.3 * step / 100, TEXTURE)
        details = made.get("encoder_details", 0.0)
        assert before is None or abs(details - before) < 0.06
        before = details
    assert before == 0


def test_the_report_says_what_was_found():
    plan = Plan(all_kinds_known=False)
    assert "show objects" in explain_shares(plan, SHARES["objects"])
    assert "are textures" in explain_shares(plan, SHARES["texture"])


@pytest.mark.parametrize(
    ("settings", "aurocs", "epochs"),
    [
        ({}, OBJECTS, EPOCHS_WITHOUT_SHARE),
        ({}, SMALL_OBJECTS, EPOCHS_WITHOUT_SHARE),
        ({}, TEXTURE, EPOCHS_BESIDE_ENCODER),
        ({"epochs": 30}, OBJECTS, 30),
        ({"score": "defects"}, OBJECTS, EPOCHS_BESIDE_ENCODER),
        ({"score": "pretrained"}, OBJECTS, EPOCHS_WITHOUT_SHARE),
    ],
)
def test_a_generator_without_a_part_in_the_score_is_trained_briefly(settings, aurocs, epochs):
    config = RunConfig(data="photos", **settings)
    planned = 30 if "epochs" in settings else EPOCHS_BESIDE_ENCODER
    plan = Plan(
        generator_recipe="defects",
        learns_masks=True,
        epochs=planned,
        score=config.score,
        fallback_score="pretrained",
    )
    share = SHARES["texture" if aurocs is TEXTURE else "objects"]
    assert with_layout(config, plan, share, aurocs).epochs == epochs


@pytest.mark.parametrize("channels", [1, 3])
def test_the_mean_of_objects_shows_one_and_the_mean_of_textures_is_flat(rng, channels):
    colour = 50 * np.arange(channels)  # the same everywhere, so it is no layout
    noise = rng.normal(size=(60, 256, channels)) + rng.normal(size=(60, 1, 1)) + colour
    one = 2 * rng.normal(size=(256, 1))
    textures, objects = ((noise + part).reshape(60, -1) for part in (0, one))
    assert layout_share(textures, channels) < 0.01
    assert layout_share(objects, channels) == pytest.approx(0.8, abs=0.05)
    assert layout_share(np.repeat(objects[:1], 5, axis=0), channels) == pytest.approx(1)
    assert layout_share(np.zeros((5, 256 * channels)), channels) == 1


@pytest.mark.parametrize(
    ("encoder_size", "share", "expected"),
    [(224, 0.5, 128), (224, 0.19, 224), (128, 0.5, 128), (64, 0.9, 64), (256, 0.001, 256)],
)
def test_objects_are_compared_at_a_size_without_details(encoder_size, share, expected):
    assert whole_size(encoder_size, share) == expected
