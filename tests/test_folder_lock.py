"""A run folder belongs to one process."""

import os
import signal
import subprocess
import sys

import pytest

from ganad_tf.errors import UsageError
from ganad_tf.folder_lock import LOCK, locked

# Holds the lock of a folder until a line or the end of its input comes.
OWNER = """
import sys
from pathlib import Path
from ganad_tf.folder_lock import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def owner(tmp_path):
    """Another process that holds the lock of `tmp_path / "run"`."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_is_made_and_its_lock_removed(tmp_path):
    with locked(tmp_path / "a" / "run"):
        text = (tmp_path / "a" / "run" / LOCK).read_text()
        assert text.startswith(f"process {os.getpid()} on ")
    assert list((tmp_path / "a" / "run").iterdir()) == []


def test_a_second_process_is_refused_and_told_who_is_at_work(tmp_path, owner):
    with (
        pytest.raises(UsageError, match=f"in use by process {owner.pid} on "),
        locked(tmp_path / "run"),
    ):
        pass
    # The refusal must not end the first one's lock.
    with pytest.raises(UsageError, match="no other process"), locked(tmp_path / "run"):
        pass


def test_after_the_first_process_the_second_may_start(tmp_path, owner):
    owner.communicate("\n")
    assert owner.returncode == 0
    with locked(tmp_path / "run"):
        pass


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, owner):
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert str(owner.pid) in (tmp_path / "run" / LOCK).read_text()
    with locked(tmp_path / "run"):
        assert f"process {os.getpid()} on " in (tmp_path / "run" / LOCK).read_text()
    assert not (tmp_path / "run" / LOCK).exists()


def test_an_error_inside_ends_the_lock(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path):
        raise RuntimeError
    with locked(tmp_path):
        pass


def test_of_many_processes_at_once_one_gets_the_folder(tmp_path):
    command = [sys.executable, "-c", OWNER, str(tmp_path / "run")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    many = [subprocess.Popen(command, text=True, **pipes) for _ in range(4)]
    # The owner waits for its input; the others end by themselves.
    first = [process.stdout.readline() for process in many]
    for process in many:
        process.communicate("\n")
    assert sorted(first) == ["", "", "", "locked\n"]
    assert sorted(process.returncode for process in many) == [0, 1, 1, 1]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "run").touch()
    with (
        pytest.raises(UsageError, match=r"expected a folder\. Received: a file"),
        locked(tmp_path / "run"),
    ):
        pass
