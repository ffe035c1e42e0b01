import json

import numpy as np
import pytest

from ganad_tf.calibration.map_scale import MapScale
from ganad_tf.errors import ArtefactError, DataError
from ganad_tf.plan import Plan
from ganad_tf.scoring import fit_scorer as module
from ganad_tf.scoring.scorer import Component, Scorer
from ganad_tf.settings.names import GENERATOR_COMPONENTS

SCALES = {
    "max_error": MapScale(0.0, 0.3),
    "patch_features": MapScale(1.0, 2.0),
    "encoder_patches": MapScale(1.0, 3.0),
}


def fit_scorer(values, truth, score="auto", **plan):
    return module.fit_scorer(values, truth, SCALES, Plan(score=score, **plan))


def made_values(rng, normals=300, anomalies=300, separations=(1.0, 0.5, 0.0, 0.0, 2.0, 0.5, 0.0)):
    """Lognormal components; each separates by its own number of standard deviations."""
    truth = np.arange(normals + anomalies) >= normals
    values = {
        name: np.exp(rng.normal(size=len(truth)) + separation * truth)
        for name, separation in zip(GENERATOR_COMPONENTS, separations, strict=True)
    }
    return values, truth


def test_a_typical_normal_image_scores_zero(rng):
    values, truth = made_values(rng)
    scorer = fit_scorer(values, truth, "features")
    typical = {name: np.float32([np.median(value[~truth])]) for name, value in values.items()}
    assert abs(float(scorer.score(typical)[0])) < 1e-5


def test_e_times_the_typical_value_scores_one_more(rng):
    values, truth = made_values(rng)
    scorer = fit_scorer(values, truth, "all")
    grown = {name: np.float32(value[:5] * np.e) for name, value in values.items()}
    before = scorer.score({name: np.float32(value[:5]) for name, value in values.items()})
    np.testing.assert_allclose(scorer.score(grown) - before, np.ones(5), atol=1e-5)


def test_auto_takes_what_separates_best_on_validation(rng):
    values, truth = made_values(rng, separations=(3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    assert fit_scorer(values, truth).explanation["score"] == "reconstruction"
    values, truth = made_values(rng, separations=(0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0))
    assert fit_scorer(values, truth).explanation["score"] == "features"
    values, truth = made_values(rng, separations=(1.5, 0.0, 0.0, 0.0, 1.5, 0.0, 0.0))
    assert fit_scorer(values, truth).explanation["score"] == "all"


def test_auto_compares_nothing_where_other_kinds_are_expected(rng):
    values, truth = made_values(rng, separations=(3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    scorer = fit_scorer(values, truth, all_kinds_known=False)
    assert scorer.explanation["score"] == "novelty"
    scorer = fit_scorer(values, truth, all_kinds_known=False, fallback_score="defects")
    assert scorer.explanation["score"] == "defects"


def test_auto_does_not_compare_by_a_handful_of_anomalies(rng):
    values, truth = made_values(rng, anomalies=99)
    assert (
        fit_scorer(values, truth, fallback_score="few_labels").explanation["score"] == "few_labels"
    )
    values, truth = made_values(rng, anomalies=100)
    assert fit_scorer(values, truth, fallback_score="few_labels").explanation["validation_auroc"]


def test_auto_takes_the_classifier_where_the_best_is_better_by_chance_only(rng):
    values, truth = made_values(rng, separations=(2.5, 0.0, 0.0, 0.0, 0.0, 0.0, 2.5))
    explanation = fit_scorer(values, truth).explanation
    # The join is better by far; without it, the two are alike.
    assert explanation["score"] == "all"
    alike, separable = np.arange(600) >= 300, {name: np.exp(4.0 * truth) for name in values}
    explanation = fit_scorer(separable, alike).explanation
    assert explanation["score"] == "classifier"
    assert "standard error" in explanation["why"]


def test_an_untrained_head_is_no_part_of_any_score(rng):
    values, truth = made_values(rng, separations=(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0))
    for choice in ("auto", "novelty", "few_labels", "defects", "masked_defects", "all"):
        scorer = fit_scorer(values, truth, choice, trains_head=False)
        assert not scorer.uses("classifier")
        assert sum(component.weight for component in scorer.components) == pytest.approx(1)


def test_one_normal_image_is_enough_to_fit_but_not_to_compare(rng):
    values, truth = made_values(rng, normals=1, anomalies=150)
    scorer = fit_scorer(values, truth, "max_error", max_false_alarms=0.6)
    assert scorer.explanation["validation_auroc"] == {}


def test_novelty_weighs_components_by_how_little_they_vary_over_normal_images(rng):
    values, truth = made_values(rng)
    values["patch_features"] **= 0.5
    scorer = fit_scorer(values, truth, "novelty")
    shares = {component.name: component.weight for component in scorer.components}
    assert shares["patch_features"] / shares["features"] == pytest.approx(0.5 / 0.5, rel=0.2)
    assert shares["classifier"] / shares["features"] == pytest.approx(0.25, rel=0.2)
    assert shares["pixels"] / shares["features"] == pytest.approx(1, rel=0.2)
    assert sum(shares.values()) == pytest.approx(1)


def test_the_map_shows_what_the_score_is_made_of(rng):
    values, truth = made_values(rng)
    maps = {"max_error": np.full((1, 2, 2), 0.3), "patch_features": np.full((1, 2, 2), 4.0)}
    for recipe, value in (("reconstruction", 1.0), ("defects", 1.25), ("novelty", 1.5)):
        scorer = fit_scorer(values, truth, recipe)
        np.testing.assert_allclose(scorer.anomaly_map(maps), np.full((1, 2, 2), value))


def test_a_component_that_misleads_gets_no_weight(rng):
    values, truth = made_values(rng, separations=(2.0, -2.0, 0.0, 0.0, 2.0, 1.0, 1.0))
    scorer = fit_scorer(values, truth, "all")
    assert not scorer.uses("patch")
    assert sum(component.weight for component in scorer.components) == pytest.approx(1)


def test_probability_rises_with_the_score_and_is_even_where_classes_are(rng):
    values, truth = made_values(rng)
    scorer = fit_scorer(values, truth)
    scores = np.linspace(-2, 4, 50, dtype=np.float32)
    probabilities = scorer.probability(scores).numpy()
    assert (np.diff(probabilities) > 0).all()
    assert 0 < probabilities[0] < 0.5 < probabilities[-1] < 1


def test_without_anomalies_the_threshold_keeps_the_false_alarm_rate(rng):
    values, truth = made_values(rng, anomalies=0)
    scorer = fit_scorer(values, truth, max_false_alarms=0.1)
    alarms = np.mean(np.array(scorer.normal_scores) > scorer.threshold)
    assert alarms <= 0.1
    assert float(scorer.probability(np.float32(scorer.threshold))) == pytest.approx(0.5)


def test_a_scorer_survives_json(rng):
    scorer = fit_scorer(*made_values(rng))
    assert Scorer.from_dict(json.loads(json.dumps(scorer.to_dict()))) == scorer


def test_values_that_cannot_be_scored_are_refused(rng):
    values, truth = made_values(rng)
    with pytest.raises(DataError, match="normal validation images"):
        fit_scorer(values, np.ones_like(truth))
    values["patch"][3] = np.nan
    with pytest.raises(DataError, match="'patch'"):
        fit_scorer(values, truth)


def test_a_scorer_of_format_1_is_read(rng):
    scorer = fit_scorer(*made_values(rng), "defects")
    old = json.loads(json.dumps(scorer.to_dict()).replace("max_error", "spot"))
    old = json.loads(json.dumps(old).replace("patch_features", "local"))
    del old["format"]
    old["map_scales"] = {"error": 0.3, "distance": 2.0, "typical_distance": 1.0}
    read = Scorer.from_dict(old)
    assert read.components == scorer.components
    maps = {"max_error": np.full((1, 2, 2), 0.3), "patch_features": np.full((1, 2, 2), 4.0)}
    np.testing.assert_array_equal(read.anomaly_map(maps), scorer.anomaly_map(maps))


def test_a_scorer_of_a_newer_format_is_refused_by_its_number(rng):
    values = fit_scorer(*made_values(rng)).to_dict()
    with pytest.raises(ArtefactError, match=r"expected format 1 to 3.*Received: format 9"):
        Scorer.from_dict({**values, "format": 9})


@pytest.mark.parametrize(
    ("components", "maps"),
    [
        (("classifier",), ["max_error"]),
        (("patch", "classifier"), ["max_error"]),
        (("max_error", "patch", "patch_features"), ["max_error", "patch_features"]),
        (("encoder_features", "encoder_details", "patch"), ["encoder_details", "max_error"]),
        (("encoder_features", "encoder_patches"), ["encoder_patches", "encoder_details"]),
    ],
)
def test_the_map_joins_the_places_that_the_score_knows(components, maps):
    parts = tuple(Component(name, 1.0, 1.0) for name in components)
    assert Scorer(parts, 0.0, 1.0, 0.0, {}, (0.0,), {}).map_kinds() == maps


def test_with_too_few_labels_to_fit_to_they_change_no_weight(rng):
    """An anomaly among them widens the spread of what it stands out in."""
    values, truth = made_values(rng, anomalies=50)
    few = fit_scorer(values, truth, "all").components
    normal = {name: value[~truth] for name, value in values.items()}
    assert few == fit_scorer(normal, truth[~truth], "all").components
