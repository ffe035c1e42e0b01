"""Where a run's images are read from when it is exported."""

import argparse
import json

import pytest

from export.run import add_source_flags, load_run, moved_config
from ganad_tf.errors import ArtefactError, UsageError
from ganad_tf.settings.run_config import RunConfig


def flags(*arguments):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_source_flags(parser)
    return parser.parse_args(arguments)


def test_moved_images_are_read_where_they_are_now(tmp_path):
    config = moved_config(RunConfig(data="photos"), "/elsewhere/photos", tmp_path)
    assert config.data == "/elsewhere/photos"


def test_images_stay_where_they_were_without_the_flag(tmp_path):
    config = RunConfig(data="photos")
    assert moved_config(config, None, tmp_path) == config


def test_the_split_is_that_of_the_run(tmp_path):
    (tmp_path / "split.csv").write_text("path,kind,label,part\n")
    config = moved_config(RunConfig(data="photos", split="gone.csv"), None, tmp_path)
    assert config.split == str(tmp_path / "split.csv")


def test_fashion_mnist_has_no_folder_of_images(tmp_path):
    with pytest.raises(UsageError, match=r"--data is for runs on own images.*Received: --data x"):
        moved_config(RunConfig(), "x", tmp_path)


def test_data_is_no_abbreviation_of_data_dir():
    given = flags("--data", "photos", "--data-dir", "tfds")
    assert (given.data, str(given.data_dir)) == ("photos", "tfds")
    with pytest.raises(SystemExit):
        flags("--idx", "folder")


def test_a_run_that_did_not_end_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(RunConfig().to_dict()))
    with pytest.raises(ArtefactError, match=r"expected a finished run.*no metrics.json"):
        load_run(tmp_path, flags())
