"""Where a run's images are read from when it is exported."""

import argparse
import json

import pytest

from export.run import add_source_flags, load_run
from ganad_tf.errors import ArtefactError
from ganad_tf.settings.run_config import RunConfig


def flags(*arguments):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_source_flags(parser)
    return parser.parse_args(arguments)


def test_data_is_no_abbreviation_of_data_dir():
    given = flags("--data", "photos", "--data-dir", "tfds")
    assert (given.data, str(given.data_dir)) == ("photos", "tfds")
    with pytest.raises(SystemExit):
        flags("--idx", "folder")


def test_a_run_that_did_not_end_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(RunConfig().to_dict()))
    with pytest.raises(ArtefactError, match=r"expected a finished run.*no metrics.json"):
        load_run(tmp_path, flags())
