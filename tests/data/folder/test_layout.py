"""The folder of a file gives its kind and label."""

import os
from pathlib import Path

import pytest

from ganad_tf.data.folder.layout import FoundImage, list_folder
from ganad_tf.errors import DataError


def put(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")


def test_the_own_layout_has_kinds_and_anomalies_without_one(tmp_path):
    put(tmp_path, "normal/2024/b 1.PNG", "anomaly/x.jpg", "anomaly/trou/né.png")
    put(tmp_path, "anomaly/normal/y.png")
    assert list_folder(tmp_path).images == [
        FoundImage("anomaly/normal/y.png", "anomaly/normal", True),
        FoundImage("anomaly/trou/né.png", "trou", True),
        FoundImage("anomaly/x.jpg", "anomaly", True),
        FoundImage("normal/2024/b 1.PNG", "normal", False),
    ]


def test_mvtecs_layout_is_told_by_its_folders(tmp_path):
    put(tmp_path, "train/good/a.png", "test/good/b.png", "test/hole/c.png", "train/hole/d.png")
    put(tmp_path, "ground_truth/hole/c_mask.png", "license.txt")
    listing = list_folder(tmp_path)
    assert (listing.layout, listing.normal_name) == ("MVTec", "good")
    assert [(i.path, i.kind, i.is_anomaly, i.official) for i in listing.images] == [
        ("test/good/b.png", "good", False, "test"),
        ("test/hole/c.png", "hole", True, "test"),
        ("train/good/a.png", "good", False, "train"),
        ("train/hole/d.png", "hole", True, "train"),
    ]


def test_hidden_files_are_not_seen_and_others_counted(tmp_path):
    put(tmp_path, "normal/._a.png", "normal/.cache/a.png", "normal/a.HEIC", "normal/b.heic")
    put(tmp_path, "anomaly/notes")
    listing = list_folder(tmp_path)
    assert not listing.images
    assert not listing.bad
    assert listing.ignored == {".heic": 2, "no suffix": 1}


def test_links_never_lead_in_circles(tmp_path):
    put(tmp_path, "normal/a.png", "elsewhere/b.png")
    (tmp_path / "normal" / "back").symlink_to(tmp_path)
    (tmp_path / "normal" / "self.png").symlink_to("self.png")
    (tmp_path / "normal" / "gone.png").symlink_to("nowhere")
    (tmp_path / "anomaly").mkdir()
    (tmp_path / "anomaly" / "up").symlink_to("..")
    (tmp_path / "anomaly" / "self").symlink_to("self")
    (tmp_path / "anomaly" / "fine").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "normal" / "fine.png").symlink_to("a.png")
    listing = list_folder(tmp_path)
    assert [i.path for i in listing.images] == [
        *["anomaly/fine/b.png", "normal/a.png", "normal/fine.png"]
    ]
    assert [(bad.path, bad.reason.partition("Received: ")[2]) for bad in listing.bad] == [
        ("anomaly/up", "a link to a folder that contains it"),
        ("normal/back", "a link to a folder"),
        ("normal/gone.png", "No such file or directory"),
        ("normal/self.png", "Too many levels of symbolic links"),
    ]


def test_a_class_that_links_to_the_whole_is_refused(tmp_path):
    put(tmp_path, "anomaly/a.png")
    (tmp_path / "normal").symlink_to(tmp_path)
    assert [bad.path for bad in list_folder(tmp_path).bad] == ["normal"]


def test_what_is_not_a_file_is_not_waited_for(tmp_path):
    put(tmp_path, "normal/a.png")
    os.mkfifo(tmp_path / "normal" / "pipe.png")
    (bad,) = list_folder(tmp_path).bad
    assert (bad.path, bad.reason) == (
        *("normal/pipe.png", "expected a file. Received: something else"),
    )


@pytest.mark.parametrize(
    ("paths", "received"),
    [
        ([], "an empty folder"),
        (["cats/a.png", "dogs/a.png"], "cats, dogs"),
        (["normal/a.png", "train/good/a.png"], "both"),
        (["bottle/train/good/a.png"], "folders that have them, name one: bottle"),
    ],
)
def test_other_folders_are_told_what_is_expected(tmp_path, paths, received):
    put(tmp_path, *paths)
    with pytest.raises(DataError, match=rf"either normal/ and anomaly/.* Received: {received}$"):
        list_folder(tmp_path)


def test_a_missing_folder_is_named():
    with pytest.raises(DataError, match=r"nowhere: expected a folder.*Received: no such folder"):
        list_folder(Path("nowhere"))
