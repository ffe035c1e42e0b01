"""What may be overwritten, and how a run goes on."""

import json
import os
from pathlib import Path

import pytest

from ganad_tf.errors import ArtefactError, UsageError
from ganad_tf.run_folder import (
    COMMAND,
    CONFIG,
    SPLIT_TABLE,
    check_new,
    create_run,
    load_config,
    moved,
    resumed_config,
    with_own_split,
)
from ganad_tf.settings.run_config import RunConfig


@pytest.mark.parametrize("stored", ["{}", "[]", '{"seed": [1]}', '{"seed": 1, "epochs": 3}', "no"])
def test_a_config_of_another_program_makes_no_run(tmp_path, stored):
    (tmp_path / CONFIG).write_text(stored)
    with pytest.raises(UsageError, match="holds other files"):
        create_run(tmp_path, RunConfig(), overwrite=True)
    assert (tmp_path / CONFIG).read_text() == stored


@pytest.mark.parametrize("name", ["file", "file/runs/new"])
def test_a_place_that_is_or_lies_in_a_file_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=f"--output must be a folder. .*; {tmp_path}/file is a"):
        check_new(tmp_path / name, overwrite=False)


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    with pytest.raises(UsageError, match=f"--output must be writable. .*; {tmp_path} is read-only"):
        check_new(tmp_path / "runs" / "new", overwrite=False)


def test_an_earlier_run_is_replaced_if_that_is_wanted(tmp_path):
    create_run(tmp_path, RunConfig(seed=1), overwrite=False)
    (tmp_path / "history.csv").write_text("epoch")
    with pytest.raises(UsageError, match="add --overwrite"):
        create_run(tmp_path, RunConfig(seed=2), overwrite=False)
    create_run(tmp_path, RunConfig(seed=2), overwrite=True)
    assert load_config(tmp_path).seed == 2
    assert not (tmp_path / "history.csv").exists()


def test_a_folder_of_images_is_no_run(tmp_path):
    with pytest.raises(ArtefactError, match=r"expected the folder of a run, .*one without config"):
        load_config(tmp_path)
    with pytest.raises(ArtefactError, match=r"expected the folder of a run, .*no such folder"):
        load_config(tmp_path / "no")


def test_a_run_killed_while_it_was_replaced_can_be_replaced_again(tmp_path, monkeypatch):
    create_run(tmp_path, RunConfig(seed=1), overwrite=False)
    for name in ("history.csv", "metrics.json"):
        (tmp_path / name).write_text("")
    remove = Path.unlink

    def killed_after_one(path, **kwargs):
        remove(path, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed_after_one)
        with pytest.raises(KeyboardInterrupt):
            create_run(tmp_path, RunConfig(seed=2), overwrite=True)
    (tmp_path / ".writing-x.json").write_text("{")
    create_run(tmp_path, RunConfig(seed=3), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [CONFIG]


def test_what_a_killed_run_was_writing_first_is_no_other_file(tmp_path):
    (tmp_path / ".writing-x.json").write_text("{")
    create_run(tmp_path, RunConfig(), overwrite=False)
    assert load_config(tmp_path) == RunConfig()


def test_own_images_may_have_moved():
    config = RunConfig(data="photos")
    assert moved(config, None) == config
    assert moved(config, "/elsewhere/photos").data == "/elsewhere/photos"
    with pytest.raises(UsageError, match=r"--data must be left out: .* Fashion-MNIST.*: 'x'"):
        moved(RunConfig(), "x")


def test_a_run_on_own_images_is_split_by_its_own_file(tmp_path):
    config = RunConfig(data="photos", split="first.csv")
    assert with_own_split(config, tmp_path) == config
    (tmp_path / SPLIT_TABLE).write_text("")
    assert with_own_split(config, tmp_path).split == str(tmp_path / SPLIT_TABLE)
    assert with_own_split(RunConfig(), tmp_path) == RunConfig()


def test_a_resumed_run_keeps_the_precision_that_its_first_device_chose(tmp_path):
    create_run(tmp_path, RunConfig(), overwrite=False)
    assert resumed_config(tmp_path, {}).precision == "auto"  # begun by an earlier version
    begun = {"command": "train.py", "precision": "mixed_float16"}
    (tmp_path / COMMAND).write_text(json.dumps(begun))
    assert resumed_config(tmp_path, {}).precision == "mixed_float16"
    with pytest.raises(UsageError, match="precision: 'auto' != 'float32'"):
        resumed_config(tmp_path, {"precision": "float32"})
