"""What follows from the settings and the data."""

import dataclasses

import numpy as np
import pytest

from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.plan import Plan, learnt_from, make_plan
from ganad_tf.settings.loss_weights import LossWeights
from ganad_tf.settings.run_config import RunConfig


@dataclasses.dataclass
class Counted:
    """Stands for splits of which only the counts matter."""

    protocol: str
    n_labelled: int = 0
    n_masked: int = 0
    image_shape: tuple[int, int, int] = (128, 128, 1)
    held_out: int = 100

    @property
    def validation(self) -> LabelledImages:
        images = np.zeros((self.held_out, 2, 2, 1), np.uint8)
        return LabelledImages(images, np.zeros(self.held_out, int), ("normal",), frozenset({0}))


def plan(config: RunConfig, protocol: str = "seen", labelled: int = 0, masked: int = 0) -> Plan:
    return make_plan(config, Counted(protocol, labelled, masked))


OWN, FASHION = RunConfig(data="photos"), RunConfig()


def test_few_labelled_anomalies_do_not_fill_half_of_the_batches(caplog):
    assert plan(OWN, labelled=18).synthetic_share == pytest.approx(0.91)
    assert plan(OWN, labelled=1000).synthetic_share == 0.5
    assert plan(OWN, "none").synthetic_share == 1
    assert "--synthetic" not in caplog.text
    assert plan(RunConfig(data="photos", synthetic=0.5), "none").synthetic_share == 1
    assert "--synthetic 0.5 has no effect: no anomaly is labelled" in caplog.text
    assert plan(RunConfig(data="photos", synthetic=0.0), labelled=18).synthetic_share == 0
    assert plan(FASHION, labelled=18).synthetic_share == 0
    assert plan(FASHION, "unseen", labelled=18).synthetic_share == 0.9


def test_anomalies_with_masks_count_for_several():
    assert plan(OWN, labelled=3, masked=3).synthetic_share == pytest.approx(0.85)
    assert plan(OWN, labelled=18, masked=18).synthetic_share == 0.25
    assert plan(OWN, labelled=1000, masked=500).synthetic_share == 0.375


def test_the_recipe_of_the_generator_follows_from_what_is_learnt():
    assert plan(FASHION, "none").generator_recipe == "novelty"
    assert plan(FASHION, "few", labelled=60).generator_recipe == "few_labels"
    assert plan(FASHION, "unseen", labelled=60).generator_recipe == "novelty"
    assert plan(OWN, "none").generator_recipe == "defects"
    whole = RunConfig(data="photos", synthetic_kinds="rotate,shuffle")
    assert plan(whole, "none").generator_recipe == "novelty"
    headless = RunConfig(loss_weights=LossWeights(feature_abc=0.0))
    assert plan(headless, "few", labelled=60).generator_recipe == "novelty"
    # No labelled anomaly is learnt from then.
    assert plan(RunConfig(synthetic=1.0), "seen", labelled=60).generator_recipe == "novelty"


def test_a_rate_is_promised_where_one_kind_of_several_is_known():
    assert plan(FASHION, "few", labelled=60).max_false_alarms is None
    assert plan(FASHION, "unseen", labelled=60).max_false_alarms == 0.05
    few = make_plan(FASHION, Counted("unseen", 60, held_out=9))
    assert few.max_false_alarms == pytest.approx(0.1, rel=0.01)
    asked = RunConfig(max_false_alarms=0.2)
    assert plan(asked, "unseen", labelled=60).max_false_alarms == 0.2


def test_masks_are_learnt_only_from_anomalies_that_are_learnt_from():
    alone = RunConfig(data="photos", synthetic=0.0)
    assert plan(alone, labelled=9).generator_recipe == "novelty"
    assert plan(alone, labelled=9, masked=1).generator_recipe == "defects"
    assert plan(alone, labelled=9, masked=9).generator_recipe == "masked_defects"
    assert plan(OWN, labelled=3, masked=3).generator_recipe == "defects"
    headless = RunConfig(data="photos", loss_weights=LossWeights(feature_abc=0.0))
    assert plan(headless, labelled=18, masked=18).generator_recipe == "defects"
    # All anomalies are synthetic and change whole images, so no place is learnt.
    settings = {"synthetic": 1.0, "synthetic_kinds": "rotate,shuffle"}
    synthetic = plan(RunConfig(data="photos", **settings), labelled=9, masked=9)
    assert not synthetic.learns_masks
    assert synthetic.generator_recipe == "novelty"


def test_a_pretrained_encoder_is_the_fallback_where_there_is_one():
    assert plan(OWN, "none").fallback_score == "pretrained"
    without = plan(RunConfig(data="photos", encoder="none"), "none")
    assert without.fallback_score == without.generator_recipe == "defects"
    assert plan(FASHION, "none").fallback_score == "novelty"


@pytest.mark.parametrize(
    ("image_size", "generator", "encoder"),
    [
        (32, 32, 128),
        (64, 64, 128),
        (96, 96, 224),
        (128, 128, 224),
        (224, 112, 224),
        (256, 128, 256),
    ],
)
def test_networks_follow_the_size_of_the_images(image_size, generator, encoder):
    shape = (image_size, image_size, 1)
    made = make_plan(OWN, Counted("none", image_shape=shape))
    assert (made.generator_size, made.encoder_size) == (generator, encoder)


def test_every_decision_has_a_reason_and_can_be_stored():
    stored = plan(OWN, labelled=18, masked=9).to_dict()
    assert "18 labelled anomalies, 9 of them with a mask" in stored["reasons"]["synthetic_share"]
    assert set(stored["reasons"]) == {
        *("synthetic_share", "fallback_score", "learns_from", "threshold")
    }


def test_without_labelled_anomalies_in_training_none_is_made_from_one():
    kinds = np.array([0, 1, 0, 2, 0])
    pixels = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 1), np.uint8)
    images = LabelledImages(pixels, kinds, ("good", "hole", "stain"), frozenset([0]))
    splits = Splits(images, images, images, "good", "seen", "0" * 64)
    assert learnt_from(make_plan(OWN, splits), splits) is splits
    only_synthetic = make_plan(RunConfig(data="photos", synthetic=1.0), splits)
    without = learnt_from(only_synthetic, splits)
    assert without.train.images[:][:, 0, 0, 0].tolist() == [0, 2, 4]
    assert not without.train.is_anomaly.any()
    assert without.validation is without.test is images


def test_the_generator_is_trained_shorter_beside_a_pretrained_encoder():
    assert plan(FASHION).epochs == 30
    assert plan(OWN).epochs == 8
    assert plan(OWN, labelled=3, masked=1).epochs == 20
    assert plan(RunConfig(data="photos", encoder="none")).epochs == 20
    assert plan(RunConfig(data="photos", epochs=3)).epochs == 3
