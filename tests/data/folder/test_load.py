"""A folder of images becomes the three parts of an experiment."""

import logging
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from ganad_tf.data.batches import BalancedBatches
from ganad_tf.data.folder.load import load_folder
from ganad_tf.data.folder.options import FolderOptions
from ganad_tf.data.folder.split_file import write_split
from ganad_tf.data.image_files.decoding import prepare
from ganad_tf.errors import DataError, UsageError


@pytest.fixture
def load(tmp_path):
    def load(root, **options):
        return load_folder(root, FolderOptions(**{"image_size": 32, **options}), tmp_path / "kept")

    return load


def part_of(splits):
    return {entry.path: entry.part for entry in splits.folder.entries}


def test_the_own_layout_is_split_in_proportion(own, load):
    summary = load(own).summary()
    assert (summary["test"]["normal"], summary["test"]["anomaly"]) == (6, 6)
    assert 2 <= summary["test"]["kinds"]["hole"] <= 4
    assert (summary["validation"]["normal"], summary["validation"]["anomaly"]) == (1, 1)
    assert (summary["train"]["normal"], summary["train"]["anomaly"]) == (13, 13)


def test_a_size_alone_will_do(own, load, tmp_path):
    alone = load_folder(own, 32, cache_dir=tmp_path / "kept")
    assert alone.image_shape == (32, 32, 1)
    assert alone.fingerprint == load(own, image_size=32).fingerprint


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_the_images_of_a_part_are_its_files(own, load, part):
    splits = load(own)
    images = getattr(splits, part)
    assert [path for path, its_part in part_of(splits).items() if its_part == part] == [
        *images.paths
    ]
    for path, image, kind in zip(images.paths, images.images, images.kinds, strict=True):
        expected = prepare(Image.open(own / path), (32, 32, 1))
        np.testing.assert_array_equal(image, expected)
        assert (images.kind_names[kind] == "normal") == path.startswith("normal/")
    assert splits.normal_name == "normal"
    assert splits.protocol == "seen"


@pytest.mark.parametrize("layout", ["own", "mvtec"])
def test_normal_images_alone_will_do_and_it_is_told(layout, request, load, caplog):
    root = request.getfixturevalue(layout)
    shutil.rmtree(root / ("anomaly" if layout == "own" else "test/hole"))
    if layout == "mvtec":
        shutil.rmtree(root / "ground_truth")
    splits = load(root)
    assert splits.protocol == "none"
    assert len(splits.test)
    assert not splits.test.is_anomaly.any()
    assert "no anomaly to test with" in caplog.text


def test_mvtecs_test_set_stays_whole_and_no_anomaly_is_learnt_from(mvtec, load):
    splits = load(mvtec)
    assert splits.summary() == {
        "train": {"normal": 18, "anomaly": 0, "kinds": {"good": 18, "hole": 0}},
        "validation": {"normal": 2, "anomaly": 0, "kinds": {"good": 2, "hole": 0}},
        "test": {"normal": 4, "anomaly": 3, "kinds": {"good": 4, "hole": 3}},
    }
    assert splits.protocol == "none"


def test_anomalies_in_mvtecs_train_are_learnt_from(mvtec, load, save):
    for number in range(4):
        save(mvtec / "train" / "crack" / f"{number}.png")
    splits = load(mvtec)
    assert splits.protocol == "seen"
    assert splits.train.is_anomaly.sum() == 3
    assert splits.validation.is_anomaly.sum() == 1


def test_one_anomaly_in_mvtecs_train_is_learnt_from(mvtec, load, save):
    save(mvtec / "train" / "crack" / "0.png")
    splits = load(mvtec)
    assert splits.protocol == "seen"
    assert splits.n_labelled == 1
    assert not splits.folder.unused


def test_training_anomalies_know_their_masks(own, load, save):
    without = load(own)
    assert without.train.masks is None
    assert (without.n_labelled, without.n_masked) == (13, 0)
    learnt = [path for path in without.train.paths if path.startswith("anomaly")]
    mask = np.zeros((5, 6), np.uint8)
    mask[0, :3] = 255
    name = learnt[2].removeprefix("anomaly/").removesuffix(".png")
    save(own / "ground_truth" / f"{name}_mask.png", mask)
    splits = load(own)
    assert splits.train.paths == without.train.paths
    assert (splits.n_labelled, splits.n_masked) == (13, 1)
    anomalies = np.flatnonzero(splits.train.is_anomaly)
    defective = splits.train.masks.as_pixels(anomalies) == 255
    assert defective.all(axis=(1, 2, 3)).tolist() == [number != 2 for number in range(13)]
    assert defective[2, :6, :15].all()
    # Another mask is other training data, and a resumed run must not be given it.
    save(own / "ground_truth" / f"{name}_mask.png", mask[::-1])
    assert len({without.fingerprint, splits.fingerprint, load(own).fingerprint}) == 3


def test_masks_belong_to_their_images(mvtec, load):
    (mvtec / "ground_truth" / "hole" / "001_mask.png").unlink()
    test = load(mvtec, skip_bad=True).test
    assert [test.paths[index] for index in test.masks.measurable] == [
        *[f"test/good/{n:03}.png" for n in range(4)],
        *["test/hole/000.png", "test/hole/002.png"],
    ]
    first, unknown, last = (test.masks[index] for index in (4, 5, 6))
    assert first[:6, :15].all()  # the first of five rows, half of the columns
    assert last[13:19, :15].all()
    assert unknown is None


def test_masks_are_padded_as_their_images_are(mvtec, load):
    splits, stretched = load(mvtec, resize="pad"), load(mvtec)
    mask = splits.test.masks[4]
    assert not mask[:2].any()
    assert mask[2:7, :16].all()  # the first of five rows, half of the columns
    assert not mask[8:].any()
    assert not splits.test.images[:, :2].any()
    assert splits.fingerprint != stretched.fingerprint
    assert (splits.resize, stretched.resize) == ("pad", "stretch")


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_there_may_be_no_masks(own, load, part):
    assert getattr(load(own), part).masks is None


# As version bf45f0e gave them. Old runs can be resumed and exported only if the
# fingerprints stay what they are.
FINGERPRINTS = {
    "stretch": "d3d5740928ea953115417dcc067abd4c75d2dc0408ca630971f0e8eb2eadcbb9",
    "pad": "ab0d89ffbd1fadfb25caf4371ca22f61ad2385a5dc39bd4176756ed6241eca31",
}


@pytest.mark.parametrize("resize", FINGERPRINTS)
def test_fingerprints_of_earlier_versions_stay(tmp_path, load, resize):
    rng = np.random.default_rng(0)
    for folder, count in (("normal", 9), ("anomaly/hole", 6)):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (20, 30), dtype=np.uint8)
            header = f"P5 {pixels.shape[1]} {pixels.shape[0]} 255\n".encode()
            (tmp_path / "data" / folder / f"{number}.pgm").write_bytes(header + pixels.tobytes())
    truth = tmp_path / "data" / "ground_truth" / "hole"
    truth.mkdir(parents=True)
    for number in range(6):
        mask = bytes([number + 1] * 30 + [0] * 570)
        (truth / f"{number}_mask.pgm").write_bytes(b"P5 30 20 255\n" + mask)
    splits = load(tmp_path / "data", resize=resize)
    assert splits.n_masked == 3
    assert splits.fingerprint == FINGERPRINTS[resize]


def test_the_same_seed_gives_the_same_split_and_another_another(own, load):
    assert part_of(load(own, seed=1)) == part_of(load(own, seed=1))
    prints = [load(own, **a).fingerprint for a in ({}, {"seed": 1}, {"image_size": 48})]
    assert len(set(prints)) == 3


def test_a_split_file_repeats_a_split(own, load, save, tmp_path, caplog):
    first = load(own, seed=3)
    write_split(first.folder.entries, tmp_path / "split.csv")
    save(own / "normal" / "new.png")
    again = load(own, seed=99, split_file=tmp_path / "split.csv")
    assert again.folder.entries == first.folder.entries
    assert again.fingerprint == first.fingerprint
    assert "split.csv does not name 1 images" in caplog.text


def test_notes_on_a_split_file_do_not_tell_other_causes(own, load, tmp_path):
    write_split(load(own).folder.entries, tmp_path / "split.csv")
    lines = (tmp_path / "split.csv").read_text().splitlines()
    lines = [line.replace("anomaly,train", "anomaly,test") for line in lines]
    lines = [line.replace("anomaly,validation", "anomaly,test") for line in lines]
    left_out = [number for number, line in enumerate(lines) if "normal,train" in line][:2]
    for number in left_out:
        lines[number] = lines[number].replace("normal,train", "normal,unused")
    (tmp_path / "split.csv").write_text("\n".join(lines))
    splits = load(own, split_file=tmp_path / "split.csv")
    assert splits.folder.notes == ("2 normal images are left out by the split file",)


def test_a_split_file_may_be_written_by_hand(mvtec, load, tmp_path):
    lines = ["path,kind,label,part"]
    lines += [f"train/good/{n:03}.png,good,normal,train" for n in range(15)]
    lines += [f"train/good/{n:03}.png,good,normal,validation" for n in range(15, 20)]
    lines += [f"test/good/{n:03}.png,good,normal,test" for n in range(3)]
    lines += ["test/good/003.png,good,normal,unused"]
    lines += [f"test/hole/{n:03}.png,hole,anomaly,{p}" for n, p in enumerate(["train", "test"])]
    (tmp_path / "split.csv").write_text("\n".join(lines))
    splits = load(mvtec, split_file=tmp_path / "split.csv")
    assert splits.protocol == "seen"
    assert len(splits.test) == 4
    assert np.array(splits.test.paths)[splits.test.masks.known].tolist() == ["test/hole/001.png"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("normal/0.png", "normal/none.png", "Received: normal/none.png, not there"),
        ("normal/0.png,normal,normal", "normal/0.png,hole,anomaly", "of kind 'normal', normal"),
        ("normal,test", "normal,train", "split.csv: expected normal images in part test"),
    ],
)
def test_a_split_file_that_does_not_fit_is_refused(own, load, tmp_path, old, new, message):
    write_split(load(own).folder.entries, tmp_path / "split.csv")
    text = (tmp_path / "split.csv").read_text()
    (tmp_path / "split.csv").write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        load(own, split_file=tmp_path / "split.csv")


def test_copies_come_into_one_part_and_are_told(own, load, save, caplog):
    for number in range(20):
        picture = Image.open(own / "normal" / f"{number}.png")
        save(own / "normal" / f"copy of {number}.bmp", np.asarray(picture))
    splits = load(own)
    where = part_of(splits)
    for number in range(20):
        assert where[f"normal/{number}.png"] == where[f"normal/copy of {number}.bmp"]
    assert len(splits.folder.duplicates) == 20
    assert "20 images repeat another one" in caplog.text


def test_training_images_that_are_also_tested_are_not_used(mvtec, load, caplog):
    shutil.copy(mvtec / "test" / "good" / "000.png", mvtec / "train" / "good" / "leak.png")
    splits = load(mvtec)
    assert [entry.path for entry in splits.folder.unused] == ["train/good/leak.png"]
    assert "1 training images are also in the test part" in caplog.text


def test_a_split_file_that_leaks_is_refused(own, load, tmp_path):
    shutil.copy(own / "normal" / "0.png", own / "normal" / "copy.png")
    splits = load(own)
    write_split(splits.folder.entries, tmp_path / "split.csv")
    text = (tmp_path / "split.csv").read_text()
    part = part_of(splits)["normal/0.png"]
    other = "test" if part == "train" else "train"
    line = "normal/0.png,normal,normal,"
    (tmp_path / "split.csv").write_text(text.replace(line + part, line + other))
    with pytest.raises(DataError, match=r"equal images in one part.*'normal/copy.png' in"):
        load(own, split_file=tmp_path / "split.csv")


def test_fewer_images_than_a_batch_make_batches(own, load):
    (batch,) = BalancedBatches(load(own).train, batch_size=64, steps_per_epoch=1).dataset()
    assert batch["normal"].shape == batch["anomaly"].shape == (32, 32, 32, 1)


def test_two_anomalies_are_for_testing(own, load, caplog):
    shutil.rmtree(own / "anomaly" / "hole")
    shutil.rmtree(own / "anomaly" / "scratch")
    for number in range(2, 5):
        (own / "anomaly" / f"{number}.png").unlink()
    splits = load(own)
    assert splits.test.is_anomaly.sum() == 2
    assert splits.protocol == "none"
    assert "no anomaly is used for training, only for testing: 2" in caplog.text


def test_anomalies_may_be_kept_for_testing_alone(own, load, caplog):
    usual, without = load(own), load(own, learn_anomalies=False)
    assert without.test.paths == usual.test.paths
    assert not without.train.is_anomaly.any()
    assert not without.validation.is_anomaly.any()
    assert without.protocol == "none"
    assert "14 anomalies are used neither for training nor for testing" in caplog.text


def test_mixed_colours_are_told(own, load, save, caplog):
    save(own / "normal" / "red.png", np.full((5, 6, 3), (200, 0, 0), np.uint8))
    assert load(own).train.images.shape[-1] == 3
    assert "40 of 41 images are grey, the others are coloured" in caplog.text
    assert load(own, channels=1).train.images.shape[-1] == 1


def test_odd_names_are_names(own, load, save, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    odd = ["two words, and a comma.png", "Größe 東京.png", 'quo"te.png', "new\nline.png"]
    odd += [os.fsdecode(b"not utf-8 \xff.png")]
    for name in odd:
        save(own / "normal" / "first.png").rename(own / "normal" / name)
        (own / "anomaly" / f"kind {name}").mkdir()
        save(own / "anomaly" / "first.png").rename(own / "anomaly" / f"kind {name}" / name)
    splits = load(own)
    assert {f"normal/{name}" for name in odd} <= set(part_of(splits))
    write_split(splits.folder.entries, tmp_path / "split.csv")
    again = load(own, split_file=tmp_path / "split.csv")
    assert again.fingerprint == splits.fingerprint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 16}, "image_size must be a multiple of 16 from 32 to 256. Received: 16"),
        ({"image_size": 40}, "Received: 40"),
        ({"image_size": 272}, "Received: 272"),
        ({"resize": "crop"}, "resize must be one of stretch, pad. Received: 'crop'"),
        ({"channels": 2}, "channels must be 1 or 3. Received: 2"),
        ({"test_fraction": 0.0}, "test_fraction must lie between 0 and 1. Received: 0.0"),
        ({"validation_fraction": 1.0}, "validation_fraction must lie .* Received: 1.0"),
    ],
)
def test_wrong_arguments_are_named(own, load, arguments, message):
    with pytest.raises(UsageError, match=message):
        load(own, **arguments)


def test_masks_lie_over_the_defects_of_turned_photos(tmp_path, load, save):
    """Photos of a phone held upright, and masks drawn on them as any viewer shows them."""
    exif = Image.Exif()
    exif[0x112] = 6
    rng = np.random.default_rng(0)
    for number in range(12):
        photo = rng.integers(100, 160, (32, 48, 3), np.uint8)
        name = f"{number}.jpg"
        if number < 6:
            photo[8:16, 30:40] = 0
            mask = (photo.max(-1) == 0).astype(np.uint8)
            save(tmp_path / "data/ground_truth" / f"{number}.png", np.rot90(mask, -1))
            name = f"anomaly/{name}"
        else:
            name = f"normal/{name}"
        save(tmp_path / "data" / name, photo, exif=exif, quality=95)
    splits = load(tmp_path / "data", resize="pad")
    for index in np.flatnonzero(splits.test.is_anomaly):
        mask = splits.test.masks[index]
        assert splits.test.images[index][mask].mean() < 30
        assert splits.test.images[index][8:24][~mask[8:24]].mean() > 60


def deep(own, bits):
    for path in own.rglob("*.png"):
        values = np.asarray(Image.open(path)).astype(np.uint16) << (bits - 8)
        values[0, 0] = 2**bits - 1
        Image.fromarray(values).save(path)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_the_bits_of_a_camera_are_found_and_told(own, load, caplog, bits):
    deep(own, bits)
    splits = load(own)
    assert splits.bit_depth == bits
    assert splits.train.images[:].max() == 255
    assert f"images have 16 bits and are scaled from 0..{2**bits - 1} to 0..255" in caplog.text


def test_few_grey_levels_are_told(own, load, caplog):
    deep(own, 12)
    usual, dark = load(own), load(own, bit_depth=16)
    assert (usual.bit_depth, dark.bit_depth) == (12, 16)
    assert dark.train.images[:].max() == 16
    assert "use at most 17 of 256 grey levels" in caplog.text
    assert usual.fingerprint != dark.fingerprint


def test_turned_photos_are_other_images_than_when_they_were_read_unturned(own, load, save):
    prints = []
    for orientation in (1, 6):
        exif = Image.Exif()
        exif[0x112] = orientation
        for number in range(20):
            save(own / "normal" / f"{number}.png", np.full((5, 5), number, np.uint8), exif=exif)
        usable = load(own)
        prints.append(usable.fingerprint)
    assert len(set(prints)) == 2


def test_large_photos_are_allowed_on_request(own, load, save, monkeypatch):
    from ganad_tf.data.image_files import decoding

    monkeypatch.setattr(decoding, "MAX_PIXELS", 100)
    save(own / "normal" / "large.png", size=(12, 12))
    with pytest.raises(DataError, match=r"at most 100 pixels \(--max-pixels allows more\).*12x12"):
        load(own)
    splits = load(own, max_pixels=200)
    assert "normal/large.png" in part_of(splits)
    assert splits.max_pixels == 200


def test_every_file_and_folder_is_accounted_for(own, load, save, caplog):
    caplog.set_level(logging.INFO)
    save(own / "ground_truth" / "hole" / "3_mask.png", np.ones((5, 6), np.uint8))
    save(own / "anomaly2" / "x.png")
    (own / "readme.txt").write_text("hello")
    (own / ".DS_Store").write_bytes(b"")
    uses = load(own).folder.uses
    assert uses == (
        "anomaly/: 5 anomalies, kind anomaly",
        "anomaly/hole/: 10 anomalies, kind hole",
        "anomaly/scratch/: 5 anomalies, kind scratch",
        "ground_truth/hole/: 1 mask",
        "normal/: 20 normal images",
        "ignored, hidden or of the system: .DS_Store",
        "ignored, a folder that has no meaning in this layout: anomaly2",
        "ignored, a file outside the class folders: readme.txt",
    )
    assert all(line in caplog.text for line in uses)
    assert "anomaly2/ with 1 image is not used" in caplog.text
    assert "was anomaly/ meant? Rename it" in caplog.text


def test_a_split_file_is_followed_when_the_folder_has_grown_or_unused_files_are_gone(
    mvtec, load, save, tmp_path
):
    shutil.copy(mvtec / "test" / "good" / "000.png", mvtec / "train" / "good" / "leak.png")
    for number in range(4):
        save(mvtec / "train" / "crack" / f"{number}.png")
    first = load(mvtec, learn_anomalies=False)
    write_split(first.folder.entries, tmp_path / "split.csv")
    # One photo more, a stray mask, an unreadable file; and images that were not used are gone.
    save(mvtec / "train" / "good" / "new.png", np.full((5, 6, 3), (200, 0, 0), np.uint8))
    save(mvtec / "ground_truth" / "hole" / "stray_mask.png", np.ones((5, 6), np.uint8))
    (mvtec / "train" / "good" / "broken.png").write_bytes(b"nothing")
    (mvtec / "train" / "good" / "leak.png").unlink()
    shutil.rmtree(mvtec / "train" / "crack")
    again = load(mvtec, learn_anomalies=False, split_file=tmp_path / "split.csv")
    assert again.fingerprint == first.fingerprint
    assert again.folder.entries == first.folder.entries
    assert again.train.paths == first.train.paths


def test_masks_that_were_added_or_tested_with_do_not_change_a_run(
    mvtec, load, save, tmp_path, caplog
):
    for number in range(4):
        save(mvtec / "train" / "crack" / f"{number}.png")
    mask = np.ones((5, 6), np.uint8)
    save(mvtec / "ground_truth" / "crack" / "0_mask.png", mask)
    first = load(mvtec)
    write_split(first.folder.entries, tmp_path / "split.csv")
    for number in range(1, 4):
        save(mvtec / "ground_truth" / "crack" / f"{number}_mask.png", mask)
    (mvtec / "ground_truth" / "hole" / "001_mask.png").unlink()
    again = load(mvtec, split_file=tmp_path / "split.csv")
    assert again.fingerprint == first.fingerprint
    assert again.n_masked == first.n_masked
    assert "split.csv does not name 3 masks of " in caplog.text
    assert "ignored, not named in split.csv: ground_truth/crack/1_mask.png" in "".join(
        again.folder.uses
    )


def test_a_mask_that_was_learnt_from_and_is_gone_is_named(own, load, save, tmp_path):
    for number in range(10):
        save(own / "ground_truth" / "hole" / f"{number}_mask.png", np.ones((5, 6), np.uint8))
    first = load(own)
    write_split(first.folder.entries, tmp_path / "split.csv")
    learnt = next(e for e in first.folder.entries if e.part == "train" and e.masks)
    (own / learnt.masks[0]).unlink()
    with pytest.raises(DataError, match=f"masks of training images.*{learnt.masks[0]}, not there"):
        load(own, split_file=tmp_path / "split.csv")


def test_a_used_file_that_is_gone_is_named(own, load, tmp_path):
    first = load(own)
    write_split(first.folder.entries, tmp_path / "split.csv")
    (own / first.train.paths[0]).unlink()
    with pytest.raises(DataError, match=f"Received: {first.train.paths[0]}, not there"):
        load(own, split_file=tmp_path / "split.csv")


def test_masks_that_may_not_mean_what_they_say_are_told(own, load, save, caplog):
    truth = own / "ground_truth" / "hole"
    mask = np.zeros((5, 6), np.uint8)
    mask[2, 2] = 255
    save(truth / "0_mask.png", 255 - mask)
    save(truth / "1_mask.png", np.full((5, 6), 255, np.uint8))
    save(truth / "2_mask.png", mask)
    load(own)
    assert "1: the whole image is marked as defective: ground_truth/hole/1_mask" in caplog.text
    assert "1: most of the image and of its border is marked, so they may be" in caplog.text


def test_ambiguous_masks_are_refused_with_both_names(own, load, save):
    mask = np.ones((5, 6), np.uint8)
    save(own / "ground_truth" / "hole" / "0.png", mask)
    save(own / "ground_truth" / "hole" / "0_mask.png", mask)
    with pytest.raises(DataError, match=r"one mask of anomaly/hole/0.png.*0.png and .*0_mask.png"):
        load(own)
    (own / "ground_truth" / "hole" / "0.png").unlink()
    save(own / "anomaly" / "hole" / "0.jpg")
    with pytest.raises(DataError, match=r"one image for this mask.*hole/0.jpg and .*hole/0.png"):
        load(own)


def test_black_masks_of_normal_images_are_passed_over(own, load, save):
    for number in range(20):
        save(own / "ground_truth" / "normal" / f"{number}_mask.png", np.zeros((5, 6), np.uint8))
    assert "ignored, masks of normal images: ground_truth/normal" in load(own).folder.uses
