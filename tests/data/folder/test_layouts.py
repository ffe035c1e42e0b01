"""The folder of a file gives its kind and label."""

import os
import re
from pathlib import Path

import pytest

from ganad_tf.data.folder.layouts import list_folder
from ganad_tf.data.folder.listing import FoundImage
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


def test_files_that_are_not_images_are_accounted_for(tmp_path):
    put(tmp_path, "normal/._a.png", "normal/.cache/a.png", "normal/a.HEIC", "normal/b.heic")
    put(tmp_path, "anomaly/notes", "readme.txt", "other/x.png")
    listing = list_folder(tmp_path)
    assert not listing.images
    assert not listing.bad
    assert listing.ignored == {
        ("normal", "hidden or of the system"): ["._a.png", ".cache"],
        ("normal", ".heic is not read; save it as PNG or JPEG"): ["a.HEIC", "b.heic"],
        ("anomaly", "no suffix is not an image"): ["notes"],
        ("", "a folder that has no meaning in this layout"): ["other"],
        ("", "a file outside the class folders"): ["readme.txt"],
    }


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
    ("paths", "advice", "received"),
    [
        ([], "the nearest is", "an empty folder"),
        (["cats/a.png", "dogs/x/a.png"], "the nearest is", "cats/ (1 image), dogs/ with x/ (1 im"),
        (["trian/good/a.png"], "rename .*/trian/ to train/, if", "trian/ with good/ (1 image)"),
        (["norml/a.png", "norml/b.png"], "rename .*/norml/ to normal/, if", "norml/ (2 images)"),
        (["anomaly/a.png"], "the nearest is normal/ and anomaly/.* (own)", "anomaly/ (1 image)"),
        (["a.png", "b.png"], "move the normal images into .*/normal/", "2 images"),
        (["nonnormal/a.png", "gold/b.png"], "the nearest is", "gold/ (1 image), nonnormal/ (1 im"),
        (["bottle/train/good/a.png"], "name one of the folders in it, .*bottle", "bottle/ with"),
    ],
)
def test_an_unknown_layout_is_answered_with_what_is_there(tmp_path, paths, advice, received):
    put(tmp_path, *paths)
    with pytest.raises(DataError) as caught:
        list_folder(tmp_path)
    first, *layouts = str(caught.value).splitlines()
    advice = advice.replace("(", r"\(").replace(")", r"\)")
    assert re.search(f"known layout; {advice}.*Received: {re.escape(received)}", first)
    assert layouts[:2] == ["known layouts:", "  normal/ and anomaly/[KIND/] (own)"]


def test_two_layouts_in_one_folder_are_both_named(tmp_path):
    put(tmp_path, "normal/a.png", "train/good/a.png")
    with pytest.raises(
        DataError, match=r"expected one layout.*normal/.*\(own\).*train/good.*MVTec"
    ):
        list_folder(tmp_path)


def test_the_folder_of_one_class_alone_is_answered_with_the_one_above(tmp_path):
    put(tmp_path, "normal/a.png", "anomaly/b.png")
    for name in ("normal", "anomaly"):
        with pytest.raises(DataError, match=f"name the folder that it lies in, {tmp_path}[.]"):
            list_folder(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["abnormal", "Anomaly", "Defects", "ANOMALIES", "NOK", "not_ok", "Rejects"]
)
def test_other_spellings_of_folders_are_accepted(tmp_path, name):
    put(tmp_path, "Normal/a.png", f"{name}/hole/b.png", f"{name}/c.png", "Ground_Truth/c_mask.png")
    listing = list_folder(tmp_path)
    found = {(image.kind, image.is_anomaly) for image in listing.images}
    assert found == {("normal", False), ("anomaly", True), ("hole", True)}
    assert [mask.key for mask in listing.masks] == ["c"]
    assert not listing.notes


def test_two_spellings_of_one_folder_are_both_named(tmp_path):
    put(tmp_path, "normal/a.png", "anomaly/b.png", "Abnormal/c.png")
    with pytest.raises(
        DataError, match=r"expected one folder for anomaly/.*Abnormal/ and anomaly/"
    ):
        list_folder(tmp_path)


def test_a_folder_passed_over_is_told_with_the_change_that_helps(tmp_path):
    put(tmp_path, "normal/a.png", "defects/b.png", "grond_truth/b_mask.png", "dent/c.png")
    assert list_folder(tmp_path).notes == [
        "dent/ with 1 image is not used, since the own layout has no such folder; are they "
        "anomalies? Move it to defects/dent/ then",
        "grond_truth/ with 1 image is not used, since the own layout has no such folder; was "
        "ground_truth/ meant? Rename it then",
    ]


def test_folders_in_class_folders_that_may_be_meant_otherwise_are_told(tmp_path):
    put(tmp_path, "normal/a.png", "normal/day/b.png", "normal/defect/c.png")
    put(tmp_path, "anomaly/masks/d.png", "anomaly/masks/e.png", "anomaly/hole/good/f.png")
    assert list_folder(tmp_path).notes == [
        "anomaly/hole/good/: 1 image used as anomalies; if they are not, move it out of anomaly/",
        "anomaly/masks/: 2 images used as anomalies; if these are masks, they belong into "
        "ground_truth/",
        "normal/defect/: 1 image used as normal images; if they are not, move it out of normal/",
    ]


def test_no_change_is_proposed_that_would_mean_the_opposite_or_nothing(tmp_path):
    put(tmp_path, "normal/a.png", "non_normal/b.png", "train/c.png", "wood/d.png")
    notes = " ".join(list_folder(tmp_path).notes)
    assert "meant?" not in notes
    assert "Move it to anomaly/non_normal/ then" in notes


def test_a_mask_beside_its_image_is_no_image(tmp_path):
    put(tmp_path, "normal/a.png", "normal/a_mask.png", "anomaly/h/b.png", "anomaly/h/b_mask.png")
    put(tmp_path, "anomaly/h/c_mask.png")
    listing = list_folder(tmp_path)
    assert [i.path for i in listing.images] == [
        *["anomaly/h/b.png", "anomaly/h/c_mask.png", "normal/a.png"]
    ]
    assert [(mask.path, mask.key) for mask in listing.masks] == [("anomaly/h/b_mask.png", "h/b")]
    assert listing.ignored["normal", "a mask of a normal image"] == ["a_mask.png"]


def test_a_missing_folder_is_named():
    message = r"nowhere: expected a folder .*if it was moved, --data .* Received: no such folder"
    with pytest.raises(DataError, match=message):
        list_folder(Path("nowhere"))
