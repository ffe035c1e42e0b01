"""One screen says what every file and folder is used as, or why it is not."""

import dataclasses
import logging
import os
import shutil

import numpy as np
import pytest

from ganad_tf.data.folder.load import load_folder
from ganad_tf.data.folder.options import FolderOptions
from ganad_tf.data.folder.split_file import write_split

# Thirty kinds of what lies in folders of images; a name that ends in / is an empty folder.
LITTER = (
    *(".DS_Store", "normal/._3.png", "normal/Thumbs.db", "Thumbs/0.png", "desktop.ini"),
    *("normal/.ipynb_checkpoints/3.png", "__MACOSX/normal/._3.png", ".Trash-1000/files/old.png"),
    *("normal/@eaDir/3.png/thumb.jpg", ".~lock.labels.csv#", "labels.csv~", "photos.zip"),
    *("normal/design.psd", "normal/logo.svg", "normal/IMG_1.HEIC", "normal/IMG_2.CR2"),
    *("normal/clip.mp4", "readme.txt", "normal/labels.xml", "normal/coco.json", "train.py"),
    *("normal/3.png.bak", "normal/upload.part", "normal/no suffix", "empty/", "normal/empty/"),
    *("anomaly2/0.png", "normals_old/0.png", "unlabelled/0.png", "augmented/normal/0.png"),
    *("normal/broken.png", "normal/3_mask.png", "ground_truth/hole/99_mask.png", "runs/a/b.csv"),
)


@pytest.fixture
def littered(own):
    for name in LITTER:
        path = own / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        else:
            path.write_bytes(b"litter")
    shutil.copy(own / "normal" / "3.png", own / "normal" / "3 (copy).png")
    (own / "normal" / "nowhere.png").symlink_to("nowhere")
    (own / "normal" / "circle").symlink_to(own)
    os.mkfifo(own / "normal" / "pipe.png")
    return own


def test_thirty_kinds_of_litter_are_accounted_for_on_one_screen(littered, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    splits = load_folder(littered, FolderOptions(image_size=32, skip_bad=True), tmp_path / "kept")
    uses = splits.folder.uses
    assert "normal/: 21 normal images" in uses
    for reason in (
        "ignored, hidden or of the system: .DS_Store, .Trash-1000, .~lock.labels.csv# and ",
        "ignored, a folder that has no meaning in this layout: anomaly2, augmented, empty and ",
        "ignored, a file outside the class folders: labels.csv~, photos.zip, readme.txt and 1 more",
        "ignored, not images (.bak, .json, .mp4, .part, .xml, no suffix): normal/3.png.bak, ",
        "ignored, not read; save them as PNG or JPEG (.cr2, .heic, .psd, .svg): normal/",
        "ignored, a mask of a normal image: normal/3_mask.png",
        "cannot be used: ",
    ):
        assert any(line.startswith(reason) for line in uses), reason
    bad = {file.path for file in splits.folder.bad}
    assert bad == {
        *("normal/broken.png", "normal/circle", "normal/nowhere.png", "normal/pipe.png"),
        "ground_truth/hole/99_mask.png",
    }
    notes = "\n".join(splits.folder.notes)
    assert "anomaly2/ with 1 image is not used" in notes
    assert "was normal/ meant?" in notes
    assert "normal/3 (copy).png = normal/3.png" in notes
    # What the command prints, on a screen of 30 lines.
    printed = [line for record in caplog.records for line in record.getMessage().splitlines()]
    assert len(printed) <= 30


def test_many_kinds_and_folders_stay_on_one_screen(own, save, tmp_path):
    for number in range(40):
        save(own / "anomaly" / f"kind {number}" / "0.png")
        (own / "normal" / f"a.suffix{number}").touch()
        save(own / f"extra {number}" / "0.png", np.zeros((5, 6), np.uint8))
    folder = load_folder(own, FolderOptions(image_size=32), tmp_path / "kept").folder
    assert len(folder.uses) + len(folder.notes) <= 30
    assert "37 more folders with images are not used: extra 11/, extra 12/, extra 13/" in "".join(
        folder.notes
    )


def test_the_split_file_itself_is_not_called_ignored(tmp_path, save):
    for number in range(16):
        kind = "normal" if number < 12 else "anomaly"
        save(tmp_path / "photos" / kind / f"{number}.png", np.full((8, 8), 9 * number, np.uint8))
    options = FolderOptions(image_size=32)
    first = load_folder(tmp_path / "photos", options, tmp_path / "kept")
    split = tmp_path / "photos" / "split.csv"
    write_split(first.folder.entries, split)
    again = load_folder(
        tmp_path / "photos", dataclasses.replace(options, split_file=split), tmp_path / "kept"
    )
    assert not any("split.csv" in line for line in again.folder.uses)
    assert again.fingerprint == first.fingerprint
