"""Files and folders are either whole or as they were before."""

import json
import os

import pytest

from ganad_tf.atomic_files import (
    read_json,
    remove_unfinished,
    replace_dir,
    replace_file,
    write_json,
)
from ganad_tf.errors import ArtefactError


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new folder" / "a.png"
    with replace_file(path) as temporary:
        assert temporary.suffix == ".png"  # Keras and matplotlib choose the format by it
        assert temporary.parent == path.parent
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    aside = ".replaced-detector-q/kept/a"
    for name in (".writing-x7.json", aside, ".writing-kept-1/b", "kept/c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    remove_unfinished(tmp_path, of="kept")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {".writing-x7.json", ".replaced-detector-q", "kept"}
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    remove_unfinished(tmp_path / "nowhere")


def test_a_folder_that_was_put_aside_returns_if_the_new_one_never_took_its_place(tmp_path):
    """As after a kill between the two renames of `replace_dir`."""
    for name in (".replaced-detector-q/detector/old", ".writing-detector-z/new"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [
        "detector",
        "detector/old",
    ]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half():
        with replace_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_a_file_as_far_as_the_umask_allows(tmp_path):
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old").touch()
    with replace_dir(folder) as temporary:
        (temporary / "new").touch()
        assert [path.name for path in folder.iterdir()] == ["old"]
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_failed_folder_leaves_the_old_one_and_nothing_else(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old").touch()

    def write_half():
        with replace_dir(folder) as temporary:
            (temporary / "new").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [folder]


def test_json_comes_back(tmp_path):
    values = {"name": "Löcher", "scores": [0.1, None, True]}
    write_json(tmp_path / "a.json", values)
    assert read_json(tmp_path / "a.json") == values
    assert (tmp_path / "a.json").read_text().endswith("}\n")


@pytest.mark.parametrize(
    ("content", "received"), [(None, "no such file"), (b"{", "Expecting"), (b"\xff", "decode")]
)
def test_what_is_not_json_is_named(tmp_path, content, received):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        ArtefactError, match=f"a.json: expected a JSON file. Received: .*{received}"
    ):
        read_json(path)


def test_json_of_another_form_is_named(tmp_path):
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(ArtefactError, match=r"a.json: expected a JSON object. Received: list"):
        read_json(tmp_path / "a.json")


def test_a_value_that_json_cannot_hold_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, 1)
    with pytest.raises(TypeError):
        write_json(path, {1, 2})
    assert json.loads(path.read_text()) == 1
