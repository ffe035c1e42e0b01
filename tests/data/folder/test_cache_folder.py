"""Decoded images are kept where the user wants them, by one writer at a time."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganad_tf.data.folder import cache, cache_folder
from ganad_tf.data.folder.cache_folder import default_cache
from ganad_tf.data.folder.decode_file import Reading
from ganad_tf.errors import DataError


@pytest.fixture
def homeless(monkeypatch, tmp_path):
    """No home, no variable that names a cache, and a folder for temporary files."""
    for name in ("HOME", "XDG_CACHE_HOME", cache_folder.OVERRIDE):
        monkeypatch.delenv(name, raising=False)
    # The user id has no entry in the system's table, either.
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.setattr(cache_folder.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


def test_a_variable_names_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv(cache_folder.OVERRIDE, str(tmp_path / "here"))
    assert default_cache() == tmp_path / "here"


def test_without_a_home_decoded_images_are_temporary_files(homeless, caplog):
    folder = default_cache()
    assert folder == homeless / f"ganad_tf-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert "could not determine the home directory" in caplog.text


def test_an_unknown_home_makes_no_folder_called_tilde(homeless, monkeypatch, caplog):
    # As platformdirs 4.0 answers.
    monkeypatch.setattr(
        cache_folder.platformdirs, "user_cache_dir", lambda name: f"~/.cache/{name}"
    )
    monkeypatch.chdir(homeless)
    assert default_cache() == homeless / f"ganad_tf-{os.getuid()}"
    assert not (homeless / "~").exists()
    assert "since there is no home for ~/.cache/ganad_tf" in caplog.text


def test_a_home_that_cannot_be_written_is_told_with_the_variable(homeless, monkeypatch, caplog):
    (homeless / "file").write_text("")
    monkeypatch.setattr(
        cache_folder.platformdirs, "user_cache_dir", lambda _: str(homeless / "file" / "cache")
    )
    folder = default_cache()
    assert folder == homeless / f"ganad_tf-{os.getuid()}"
    assert caplog.messages == [
        f"decoded images go to {folder} (GANAD_CACHE_DIR names another folder), since "
        f"{homeless / 'file' / 'cache'} cannot be written (Not a directory)"
    ]


def test_a_chosen_folder_that_cannot_be_written_is_refused(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache_folder.OVERRIDE, str(tmp_path / "file" / "cache"))
    with pytest.raises(
        DataError, match=r"cache: expected a folder .*GANAD_CACHE_DIR names another"
    ):
        default_cache()


def test_a_full_disk_is_told_with_the_variable(monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache, "_decode_as_needed", full)
    with pytest.raises(DataError, match=r"GANAD_CACHE_DIR names another one\. Received: No space"):
        cache.decode_files({"0" * 64: tmp_path / "a.png"}, Reading(32), tmp_path / "kept")


RUN = """
import sys, time
from pathlib import Path
from ganad_tf.data.folder.load import load_folder
from ganad_tf.data.folder.options import FolderOptions
time.sleep(max(0, float(sys.argv[2]) - time.time()))
load_folder(Path(sys.argv[1], "data"), FolderOptions(32), Path(sys.argv[1], "cache"))
"""


def test_two_first_runs_on_one_folder_do_not_meet(tmp_path):
    import time

    rng = np.random.default_rng(0)
    (tmp_path / "data" / "normal").mkdir(parents=True)
    for number in range(40):
        pixels = rng.integers(0, 256, (48, 48), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / "normal" / f"{number}.png")
    command = [sys.executable, "-c", RUN, str(tmp_path), str(time.time() + 5)]
    root = Path(cache_folder.__file__).parents[3]
    runs = [
        subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    errors = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], errors
    (kept,) = (tmp_path / "cache").iterdir()
    assert sorted(path.name for path in kept.iterdir()) == ["images.npy", "record.npz"]
