"""Settings whose defaults depend on where the images come from."""

import argparse

import pytest

from ganad_tf.errors import UsageError
from ganad_tf.settings.flags import add_flags, config_from_flags
from ganad_tf.settings.loss_weights import LossWeights
from ganad_tf.settings.run_config import RunConfig


def parse(*flags):
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return config_from_flags(vars(parser.parse_args(flags)), None)


@pytest.mark.parametrize(
    ("flags", "count"),
    [
        ([], 9),
        (["--data", "photos"], None),
        (["--clusters", "auto"], None),
        (["--data", "photos", "--clusters", "3"], 3),
        (["--clusters", "3"], 3),
    ],
)
def test_clusters_are_nine_or_left_to_the_silhouette(flags, count):
    assert parse(*flags).cluster_count() == count


@pytest.mark.parametrize("value", [0, "many"])
def test_other_numbers_of_clusters_are_refused(value):
    with pytest.raises(UsageError, match="--clusters must be"):
        RunConfig(clusters=value)


@pytest.mark.parametrize("value", ["auto", 4, None])
def test_the_choice_is_kept_with_the_run(value):
    config = RunConfig(clusters=value, fit="pad")
    assert RunConfig.from_dict(config.to_dict()) == config


def test_images_are_stretched_or_padded():
    assert (parse().fit, parse("--fit", "pad").fit) == ("stretch", "pad")
    with pytest.raises(UsageError, match="--fit must be one of stretch, pad"):
        RunConfig(fit="crop")


def test_own_images_are_seen_in_small_steps_unless_flags_say_otherwise():
    def with_preset(**flags):
        return config_from_flags(flags, "small")

    assert with_preset(normal="7").batch_size == 128
    own = with_preset(data="photos", epochs=3)
    assert (own.batch_size, own.average_momentum, own.epochs) == (16, 0.98, 3)


def test_synthetic_anomalies_of_own_images_are_blots_and_scored_by_place():
    fashion, own = RunConfig(), RunConfig(data="photos")
    assert fashion.kinds_of_synthetic() == ("turn", "shuffle", "paste")
    assert own.kinds_of_synthetic() == ("blot",)
    assert fashion.uncompared_score("none") == "novelty"
    assert own.uncompared_score("none") == "defects"
    whole = RunConfig(data="photos", synthetic_kinds="turn,shuffle")
    assert whole.uncompared_score("none") == "novelty"


def test_a_few_labels_of_all_kinds_are_trusted_through_the_classifier_if_there_is_one():
    assert RunConfig().uncompared_score("few") == "mixed"
    assert RunConfig().uncompared_score("unseen") == "novelty"
    without = RunConfig(loss_weights=LossWeights(feature_abc=0.0))
    assert without.uncompared_score("few") == "novelty"


def test_a_score_of_an_untrained_head_is_refused():
    with pytest.raises(UsageError, match="feature_abc above 0"):
        RunConfig(score="classifier", loss_weights=LossWeights(feature_abc=0.0))


def test_few_labelled_anomalies_do_not_fill_half_of_the_batches():
    own = RunConfig(data="photos")
    assert own.synthetic_share("seen", labelled=18) == pytest.approx(0.91)
    assert own.synthetic_share("seen", labelled=1000) == 0.5
    assert own.synthetic_share("none") == 1
    assert RunConfig(data="photos", synthetic=0.0).synthetic_share("seen", labelled=18) == 0
    assert RunConfig().synthetic_share("seen", labelled=18) == 0


def test_anomalies_with_masks_count_for_several_and_are_learnt_in_their_places():
    own = RunConfig(data="photos")
    assert own.synthetic_share("seen", labelled=3, masked=3) == pytest.approx(0.85)
    assert own.synthetic_share("seen", labelled=18, masked=18) == 0.25
    assert own.synthetic_share("seen", labelled=1000, masked=500) == 0.375
    alone = RunConfig(data="photos", synthetic=0.0)
    assert alone.uncompared_score("seen", labelled=9) == "novelty"
    assert alone.uncompared_score("seen", labelled=9, masked=1) == "defects"
    assert alone.uncompared_score("seen", labelled=9, masked=9) == "taught"
    assert own.uncompared_score("seen", labelled=3, masked=3) == "defects"
    assert own.uncompared_score("seen", labelled=18, masked=18) == "taught"
    headless = RunConfig(data="photos", loss_weights=LossWeights(feature_abc=0.0))
    assert headless.uncompared_score("seen", labelled=18, masked=18) == "defects"


@pytest.mark.parametrize("kinds", ["spots", "blot,", "blot;turn"])
def test_unknown_kinds_of_synthetic_anomalies_are_refused(kinds):
    with pytest.raises(UsageError, match="--synthetic-kinds must be"):
        RunConfig(synthetic_kinds=kinds)
