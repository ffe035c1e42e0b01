"""Settings whose defaults depend on the preset and on where the images come from."""

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ganad_tf.errors import ArtefactError, UsageError
from ganad_tf.settings import names
from ganad_tf.settings.flags import add_flags, config_from_flags
from ganad_tf.settings.loss_weights import LossWeights
from ganad_tf.settings.presets import PRESETS, describe_default
from ganad_tf.settings.run_config import RunConfig


def parse(*flags):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser)
    return config_from_flags(vars(parser.parse_args(flags)))


@pytest.mark.parametrize(
    ("flags", "settings"),
    [
        ([], {}),
        (["--data", "photos"], {"data": "photos"}),
        (["--data", "photos", "--epochs", "3"], {"data": "photos", "epochs": 3}),
        (["--preset", "paper"], {"preset": "paper"}),
        (["--preset", "paper", "--data", "photos"], {"preset": "paper", "data": "photos"}),
        (["--preset", "paper", "--width", "8"], {"preset": "paper", "width": 8}),
        (["--loss-weight", "abc=2"], {"loss_weights": LossWeights(abc=2.0)}),
    ],
)
def test_python_and_the_command_line_mean_the_same(flags, settings):
    assert parse(*flags) == RunConfig(**settings)


def test_own_images_are_seen_in_small_steps_unless_settings_say_otherwise():
    assert RunConfig().batch_size == 128
    own = RunConfig(data="photos", epochs=3)
    assert (own.batch_size, own.average_momentum, own.epochs) == (16, 0.98, 3)
    assert RunConfig(data="photos", batch_size=128).batch_size == 128


def test_a_preset_fills_in_only_what_was_left_open():
    paper = RunConfig(preset="paper", width=8)
    assert (paper.width, paper.discriminator_width, paper.refine) == (8, 64, False)
    assert paper.loss_weights == PRESETS["paper"]["loss_weights"]
    changed = parse("--preset", "paper", "--loss-weight", "abc=2").loss_weights
    assert changed == dataclasses.replace(paper.loss_weights, abc=2.0)


def test_help_gives_the_loss_weights_of_both_presets():
    text = describe_default("loss_weights")
    assert text.endswith("local_abc 3.0; preset paper feature_abc 0.0, local_abc 0.0")


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({}, 9),
        ({"data": "photos"}, "auto"),
        ({"clusters": "auto"}, "auto"),
        ({"data": "photos", "clusters": 3}, 3),
    ],
)
def test_clusters_are_nine_or_left_to_the_silhouette(settings, count):
    assert RunConfig(**settings).clusters == count


@pytest.mark.parametrize("value", [0, "many"])
def test_other_numbers_of_clusters_are_refused(value):
    with pytest.raises(UsageError, match="--clusters must be"):
        RunConfig(clusters=value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": "auto", "data": "photos"}, "--image-size must be a whole number. .*'auto'"),
        ({"image_size": 512}, r"--image-size must be in \[32, 256\]. Received: 512"),
        ({"image_size": 16}, r"--image-size must be in \[32, 256\]. Received: 16"),
        ({"image_size": 40}, "--image-size must be a multiple of 16, .*Received: 40"),
        ({"max_false_alarms": "0.01"}, "--max-false-alarms must be a number. .*'0.01'"),
        ({"epochs": "many"}, "--epochs must be a number or auto. .*'many'"),
        ({"score": "pretrained"}, "--score pretrained needs a pretrained network"),
    ],
)
def test_auto_is_a_value_where_there_is_something_to_choose(settings, message):
    with pytest.raises(UsageError, match=message):
        RunConfig(**settings)


@pytest.mark.parametrize("settings", [{}, {"data": "photos"}, {"clusters": "auto"}])
def test_what_is_stored_is_read_back(settings):
    config = RunConfig(**settings)
    assert RunConfig.from_dict(config.to_dict()) == config


def test_names_of_format_1_are_read_and_accepted():
    stored = {"fit": "pad", "turn": True, "synthetic_kinds": "blot", "score": "spot", "width": 64}
    stored["data"] = "/photos"
    read = RunConfig.from_dict(stored)
    assert (read.resize, read.random_rotation, read.preset) == ("pad", True, "paper")
    assert (read.synthetic_kinds, read.score) == ("local_defect", "max_error")
    flags = ["--fit", "pad", "--turn", "--synthetic-kinds", "blot", "--score", "spot"]
    assert parse("--data", "own", *flags) == parse(
        *("--data", "own", "--resize", "pad", "--random-rotation"),
        *("--synthetic-kinds", "local_defect", "--score", "max_error"),
    )
    assert parse("--score", "joint").score == "all"


def test_a_newer_format_is_refused_by_its_number():
    with pytest.raises(ArtefactError, match=r"expected format 1 or 2.*Received: format 3"):
        RunConfig.from_dict({"format": 3})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": None}, "--seed must have a value. Received: None"),
        ({"steps_per_epoch": 2.5}, "--steps-per-epoch must be a whole number. Received: 2.5"),
        ({"epochs": 2.5}, "--epochs must be a whole number or auto. Received: 2.5"),
        ({"batch_size": True}, "--batch-size must be a whole number. Received: True"),
        ({"flip": "no"}, "--flip must be True or False. Received: 'no'"),
        ({"split": 5}, "--split must be a path. Received: 5"),
        ({"data": ""}, "--data must be a path. Received: an empty text"),
        ({"data": "photos", "normal": "good"}, "with --data the folders say what is normal"),
        ({"preset": ["small"]}, r"--preset must be text. Received: \['small'\]"),
        ({"synthetic_kinds": ["rotate"]}, r"--synthetic-kinds must be text. Received: \['rotate"),
        ({"learning_rate": "fast"}, "--learning-rate must be a number. Received: 'fast'"),
        ({"loss_weights": 2}, "--loss-weights must be LossWeights, or a weight for each name"),
        ({"loss_weights": {"colour": 1}}, r"NAME one of .* Received: {'colour': 1}"),
        ({"loss_weights": LossWeights(abc="1")}, r"VALUE at least 0 .* Received: .*'abc': '1'"),
        ({"known": "3"}, "--known names the labelled class under --protocol unseen"),
        ({"known_share": 0.01}, "--known-share is the share of labelled anomalies under"),
        ({"anomalies": 60}, "--anomalies is the number of labelled anomalies under --protocol few"),
        ({"split": "split.csv"}, "--split is a setting of own images, --data. .* without --data"),
        ({"channels": 3}, "--channels is a setting of own images, --data. Received: 3 without"),
        ({"test_fraction": 0.5}, "--test-fraction is a setting of own images, --data"),
        ({"skip_bad": True}, "--skip-bad is a setting of own images, --data"),
    ],
)
def test_what_has_no_effect_or_no_meaning_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        RunConfig(**settings)


def test_numbers_of_numpy_are_kept_as_numbers_of_python():
    given = {
        **{"seed": np.int64(3), "epochs": np.int32(2), "synthetic": np.float32(0.5)},
        **{"flip": True, "loss_weights": {"abc": np.float64(2), "patch": 1}},
    }
    config = RunConfig(data="photos", **given)
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert (type(config.seed), config.seed, config.loss_weights.abc) == (int, 3, 2.0)


def test_names_of_kinds_may_have_spaces_around_them():
    config = RunConfig(synthetic_kinds="rotate, paste")
    assert config.kinds_of_synthetic() == ("rotate", "paste")


def test_what_had_no_effect_in_a_run_of_an_earlier_version_is_left_out():
    stored = {**RunConfig().to_dict(), "anomalies": 60, "skip_bad": True, "split": "/elsewhere.csv"}
    assert RunConfig.from_dict(stored) == RunConfig()
    own = RunConfig(data="/photos")
    assert RunConfig.from_dict({**own.to_dict(), "normal": "good"}) == own
    few = RunConfig(protocol="few", anomalies=60)
    assert RunConfig.from_dict(few.to_dict()) == few


def test_loss_weights_may_be_a_mapping_that_changes_those_of_the_preset():
    paper = RunConfig(preset="paper", loss_weights={"abc": 2})
    assert paper.loss_weights == dataclasses.replace(PRESETS["paper"]["loss_weights"], abc=2)


def test_paths_may_be_path_objects_and_classes_numbers(tmp_path):
    assert RunConfig(data=tmp_path).data == str(tmp_path)
    assert RunConfig(normal=3).normal == 3


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"loss_weights": {"colour": 1.0}}, "config.json: --loss-weight must be .*'colour'"),
        ({"seed": [1]}, r"config.json: --seed must be a whole number. Received: \[1\]"),
        ({"score": {}}, "config.json: --score must be text"),
    ],
)
def test_a_wrong_value_in_a_run_folder_is_the_folders_fault(stored, message):
    with pytest.raises(ArtefactError, match=message):
        RunConfig.from_dict(stored)


def test_an_unknown_setting_is_named():
    with pytest.raises(ArtefactError, match="Received: colour"):
        RunConfig.from_dict({"format": 2, "colour": "red"})


def test_a_relative_data_folder_does_not_depend_on_the_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = RunConfig(data="photos", split="split.csv")
    assert Path(config.data) == tmp_path / "photos"
    assert Path(config.split) == tmp_path / "split.csv"


def test_images_are_stretched_or_padded():
    assert (parse().resize, parse("--data", "own", "--resize", "pad").resize) == ("stretch", "pad")
    with pytest.raises(UsageError, match="--resize must be one of stretch, pad"):
        RunConfig(resize="crop")


def test_a_score_of_an_untrained_head_is_refused():
    with pytest.raises(UsageError, match="feature_abc above 0"):
        RunConfig(score="classifier", loss_weights=LossWeights(feature_abc=0.0))


def test_rotated_images_cannot_be_normal_and_anomalous():
    with pytest.raises(UsageError, match="--random-rotation makes rotated images normal"):
        RunConfig(random_rotation=True)
    assert RunConfig(data="photos", random_rotation=True).random_rotation


@pytest.mark.parametrize("kinds", ["spots", "local_defect,", "local_defect;rotate"])
def test_unknown_kinds_of_synthetic_anomalies_are_refused(kinds):
    with pytest.raises(UsageError, match="--synthetic-kinds must be"):
        RunConfig(synthetic_kinds=kinds)


def test_only_given_flags_count_as_different():
    config = RunConfig(data="photos")
    assert config.differences({}) == []
    assert config.differences({"preset": "small", "seed": 0}) == []
    assert config.differences({"seed": 1}) == ["seed: 0 != 1"]


def test_every_recipe_is_made_of_known_components_and_every_alias_leads_to_a_name():
    for shares in names.RECIPES.values():
        assert set(shares) <= set(names.COMPONENTS)
    assert set(names.SCORE_ALIASES.values()) <= {*names.RECIPES, *names.COMPONENTS}
    assert set(names.KIND_ALIASES.values()) <= set(names.SYNTHETIC_KINDS)
    for preset in PRESETS.values():
        assert set(preset) <= {field.name for field in dataclasses.fields(RunConfig)}


def test_runs_before_there_was_a_bit_depth_scaled_sixteen_bits():
    values = RunConfig(data="photos").to_dict()
    assert values["bit_depth"] is None
    assert RunConfig.from_dict(values).bit_depth is None
    del values["bit_depth"], values["max_pixels"]
    assert RunConfig.from_dict(values).bit_depth == 16
