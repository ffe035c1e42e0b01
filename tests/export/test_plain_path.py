"""TensorFlow reads [ ] * ? in a path as a pattern; paths that it is given have none."""

import pytest

from export.plain_path import is_plain, plain_path


def test_a_plain_path_stays_what_it_is(tmp_path):
    with plain_path(tmp_path) as path:
        assert path == tmp_path


@pytest.mark.parametrize("name", ["line [3]", "a*", "what?", "back\\slash"])
def test_what_is_written_through_it_is_in_the_folder(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    with plain_path(folder) as path:
        assert is_plain(path)
        (path / "file").write_text("x")
    assert (folder / "file").read_text() == "x"
    assert not path.exists()


def test_relative_paths_and_those_in_such_a_folder_are_seen(tmp_path, monkeypatch):
    (tmp_path / "[3]" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "[3]")
    with plain_path(tmp_path / "[3]" / "inner") as path:
        assert is_plain(path)
    from pathlib import Path

    with plain_path(Path("inner")) as path:
        assert is_plain(path.absolute())


def test_a_temporary_folder_of_such_a_name_is_not_used(tmp_path, monkeypatch):
    (tmp_path / "[t]").mkdir()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "[t]"))
    with plain_path(tmp_path / "[t]") as path:
        assert is_plain(path)
