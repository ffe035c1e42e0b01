"""Bad files are named before anything is learnt, and left out on request."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from ganad_tf.data.folder.load import load_folder
from ganad_tf.data.folder.options import FolderOptions
from ganad_tf.data.image_files import decoding
from ganad_tf.errors import DataError


@pytest.fixture
def load(tmp_path):
    def load(root, **options):
        return load_folder(root, FolderOptions(**{"image_size": 32, **options}), tmp_path / "kept")

    return load


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_bytes(b"not an image")


def cut(path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:3000])


def floating(path):
    Image.new("F", (5, 5)).save(path, "TIFF")


def huge(path):
    Image.new("1", (20, 20)).save(path)


def link_to_itself(path):
    path.symlink_to(path.name)


def pipe(path):
    os.mkfifo(path)


def folder_link(path):
    path.symlink_to(path.parent.parent)


@pytest.mark.parametrize(
    ("make", "received"),
    [
        (empty, "other or damaged content"),
        (text, "other or damaged content"),
        (cut, "OSError: image file is truncated"),
        (floating, "floating-point pixels"),
        (huge, "20x20"),
        (link_to_itself, "Too many levels of symbolic links"),
        (pipe, "something else"),
        (folder_link, "a link to a folder"),
    ],
)
def test_a_bad_file_stops_everything_unless_skipped(own, load, monkeypatch, caplog, make, received):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 2500 if make is cut else 399)
    make(own / "normal" / "bad one é.png")
    message = rf"1 bad file\n  normal/bad one é.png: expected .*Received: {received}"
    with pytest.raises(DataError, match=message) as caught:
        load(own)
    assert "--skip-bad" in str(caught.value)
    splits = load(own, skip_bad=True)
    assert [bad.path for bad in splits.folder.bad] == ["normal/bad one é.png"]
    assert len(splits.folder.entries) == 40
    assert "leaving out 1 bad file\n  normal/bad one é.png: " in caplog.text


@pytest.mark.parametrize("mode", ["1", "LA", "P", "PA", "RGBA", "CMYK", "I;16", "animated"])
def test_unusual_images_are_not_bad(own, load, mode):
    suffix = {"CMYK": ".tif", "animated": ".gif", "PA": ".tif"}.get(mode, ".png")
    path = own / "normal" / f"unusual{suffix}"
    noise = Image.fromarray(np.random.default_rng(9).integers(0, 256, (9, 9, 3), np.uint8))
    if mode == "animated":
        noise.save(path, save_all=True, append_images=[Image.new("RGB", (9, 9))])
    elif mode == "I;16":
        Image.fromarray(np.arange(81, dtype=np.uint16).reshape(9, 9) * 700).save(path)
    elif mode == "PA":
        noise.convert("P").save(path)
    else:
        noise.convert(mode).save(path)
    assert len(load(own).folder.entries) == 41


def test_many_bad_files_are_counted_and_the_first_named(own, load):
    for number in range(25):
        text(own / "normal" / f"bad {number:02}.png")
    with pytest.raises(DataError, match=r"(?s)25 bad files.*bad 19.png: .*  and 5 more$") as caught:
        load(own)
    assert "bad 20" not in str(caught.value)


def test_one_file_with_two_labels_is_named_and_refused(own, load):
    shutil.copy(own / "normal" / "3.png", own / "anomaly" / "hole" / "same.png")
    with pytest.raises(DataError) as caught:
        load(own)
    assert "the same file normal and anomalous, anomaly/hole/same.png, normal/3.png" in str(
        caught.value
    )
    splits = load(own, skip_bad=True)
    assert {bad.path for bad in splits.folder.bad} == {"anomaly/hole/same.png", "normal/3.png"}


def test_two_kinds_of_anomaly_in_one_file_are_no_contradiction(own, load):
    shutil.copy(own / "anomaly" / "hole" / "3.png", own / "anomaly" / "scratch" / "same.png")
    where = {entry.path: entry.part for entry in load(own).folder.entries}
    assert where["anomaly/hole/3.png"] == where["anomaly/scratch/same.png"]


def test_labels_that_only_the_full_size_tells_apart_are_told(own, load, save, caplog):
    plain = np.full((640, 640), 100, np.uint8)
    save(own / "normal" / "plain.png", plain)
    plain[5, 5] = 101
    save(own / "anomaly" / "speck.png", plain)
    load(own)
    assert "1 images are both normal and anomalous at 32x32 pixels" in caplog.text


def test_normal_images_that_are_missing_are_named(own, load):
    shutil.rmtree(own / "normal")
    with pytest.raises(DataError, match=r"known layout; the nearest is normal/ and anomaly/"):
        load(own)


def test_an_empty_class_is_named(own, load):
    shutil.rmtree(own / "normal")
    (own / "normal").mkdir()
    with pytest.raises(DataError, match=r"expected images in normal/.*Received: none$"):
        load(own)


@pytest.mark.parametrize("gone", ["test/good", "test", "train/good"])
def test_mvtecs_classes_must_be_there_too(mvtec, load, gone):
    shutil.rmtree(mvtec / gone)
    (mvtec / gone).mkdir()
    with pytest.raises(DataError, match=r"expected images in t.*Received: none"):
        load(mvtec)


def test_one_image_is_not_enough(own, load):
    for number in range(1, 20):
        (own / "normal" / f"{number}.png").unlink()
    with pytest.raises(DataError, match=r"own: expected at least 4 different norm.*Received: 1"):
        load(own)


@pytest.mark.parametrize("count", [3, 4])
def test_four_normal_images_are_the_least(own, load, count):
    for number in range(count, 20):
        (own / "normal" / f"{number}.png").unlink()
    if count == 4:
        assert (~load(own).train.is_anomaly).sum() == 2
        return
    with pytest.raises(DataError, match=r"at least 4 different normal images, two to train on.*3$"):
        load(own)


def test_images_of_formats_that_are_not_read_are_named(own, load, caplog):
    (own / "normal" / "IMG_1.HEIC").write_bytes(b"heic")
    load(own)
    assert "1 files in normal/ are not used: .heic is not read; save it as PNG" in caplog.text
    for path in (own / "normal").glob("*.png"):
        path.rename(path.with_suffix(".heic"))
    with pytest.raises(DataError, match=r"Received: none \(21 ignored, .heic is not read"):
        load(own)


def test_a_file_is_no_folder(own, load):
    message = r"expected a folder of images or a CSV file\. Received: a file"
    with pytest.raises(DataError, match=message):
        load(own / "normal" / "0.png")


def test_a_class_of_bad_files_alone_says_so(own, load):
    for path in (own / "normal").iterdir():
        text(path)
    with pytest.raises(DataError, match=r"expected images in normal/.*(?s:.)*20 bad files"):
        load(own, skip_bad=True)


def test_two_empty_files_are_damaged_and_no_contradiction(own, load):
    empty(own / "normal" / "e.png")
    empty(own / "anomaly" / "e.png")
    with pytest.raises(DataError) as caught:
        load(own)
    assert str(caught.value).count("other or damaged content") == 2
    assert "the same file" not in str(caught.value)


def test_a_table_that_names_no_file_that_is_there_says_so(tmp_path, load):
    (tmp_path / "list.csv").write_text("path,label\nnormal\\0.png,normal\n1.png,normal\n")
    with pytest.raises(DataError, match=r"expected images to use(?s:.)*1.png: .*no such file"):
        load(tmp_path / "list.csv")


def test_a_mask_in_the_wrong_place_is_told_the_right_one(mvtec, load, save):
    (mvtec / "ground_truth" / "hole" / "000_mask.png").rename(
        mvtec / "ground_truth" / "hole" / "unknown.png"
    )
    (mvtec / "ground_truth" / "Hole").mkdir()
    save(mvtec / "ground_truth" / "Hole" / "002_mask.png", np.ones((6, 5), np.uint8))
    with pytest.raises(DataError, match=r"of test/hole/002.png, it must lie in the folder of its"):
        load(mvtec)


def test_masks_that_do_not_match_stop_everything_unless_skipped(mvtec, load, save):
    save(mvtec / "ground_truth" / "hole" / "002_mask.png", np.ones((9, 9), np.uint8))
    with pytest.raises(DataError, match=r"002_mask.png: expected a mask of its image's size, 6x5"):
        load(mvtec)
    splits = load(mvtec, skip_bad=True)
    assert len(splits.test) == 7
    masked = np.array(splits.test.paths)[splits.test.masks.known]
    assert masked.tolist() == ["test/hole/000.png", "test/hole/001.png"]
