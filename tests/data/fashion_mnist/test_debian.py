"""A Debian package without root, from lists of its own where the system's are empty."""

import os

import pytest

from ganad_tf.data.fashion_mnist.debian import unpack_package
from ganad_tf.errors import DataError

# Finds the package only in lists that an update has filled.
APT_GET = """#!/bin/sh
echo "$@" >> "$LOG"
lists=$(echo "$@" | sed -n 's/.*Dir::State::Lists=\\([^ ]*\\).*/\\1/p')
case "$@" in
  *update) touch "$lists/full"; exit 100 ;;
  *download*) test -n "$SYSTEM_LISTS" -o -e "$lists/full" && exec touch cotton_1_all.deb ;;
esac
echo "E: Unable to locate package" >&2
exit 100
"""
DPKG_DEB = """#!/bin/sh
mkdir -p "$3/usr/share" && touch "$3/usr/share/$2"
"""


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """Puts a small apt in place of the machine's; returns the file that logs its commands."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, script in (("apt-get", APT_GET), ("dpkg-deb", DPKG_DEB)):
        (commands / name).write_text(script)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    return tmp_path / "log"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_a_package_that_apt_knows_is_downloaded_and_unpacked(apt, folder, monkeypatch):
    monkeypatch.setenv("SYSTEM_LISTS", "full")
    assert (unpack_package("cotton", folder) / "usr/share/cotton_1_all.deb").is_file()
    assert len(apt.read_text().splitlines()) == 1


def test_empty_lists_are_replaced_by_private_ones(apt, folder):
    assert (unpack_package("cotton", folder) / "usr/share/cotton_1_all.deb").is_file()
    first, update, second = apt.read_text().splitlines()
    assert "Lists" not in first
    assert f"Dir::State::Lists={folder}" in update
    assert second.endswith("download cotton")


def test_what_apt_says_is_in_the_error(apt, folder):
    (apt.parent / "bin" / "apt-get").write_text("#!/bin/sh\necho 'E: No mirror' >&2; exit 100\n")
    with pytest.raises(DataError, match=r"apt-get: .*Received: E: No mirror"):
        unpack_package("cotton", folder)


def test_an_apt_that_hangs_is_given_up(apt, folder, monkeypatch):
    monkeypatch.setattr("ganad_tf.data.fashion_mnist.debian._SECONDS", 0.2)
    (apt.parent / "bin" / "apt-get").write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(DataError, match=r"apt-get: expected an answer in 0.2 s"):
        unpack_package("cotton", folder)


def test_a_system_without_apt_is_told_so(folder, monkeypatch):
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(DataError, match=r"expected the command apt-get. Received: none"):
        unpack_package("cotton", folder)
