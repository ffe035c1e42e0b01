"""Published data sets load as they are, tried on small trees of their shapes."""

import numpy as np
import pytest

from ganad_tf.data.folder.load import load_folder
from ganad_tf.data.folder.options import FolderOptions
from ganad_tf.errors import DataError

MASK = np.zeros((5, 6), np.uint8)
MASK[1, :3] = 255


@pytest.fixture
def load(tmp_path):
    def load(root, **options):
        return load_folder(root, FolderOptions(**{"image_size": 32, **options}), tmp_path / "kept")

    return load


def counts(splits):
    return {
        part: (values["normal"], values["anomaly"]) for part, values in splits.summary().items()
    }


def fill(save, folder, count, suffix=".png", mask_folder=None, ending=""):
    for number in range(count):
        save(folder / f"{number:03}{suffix}")
        if mask_folder:
            save(mask_folder / f"{number:03}{ending}.png", MASK)


def test_mpdd(tmp_path, save, load):
    root = tmp_path / "bracket_black"
    fill(save, root / "train" / "good", 10)
    fill(save, root / "test" / "good", 4)
    truth = root / "ground_truth" / "hole"
    fill(save, root / "test" / "hole", 3, mask_folder=truth, ending="_mask")
    splits = load(root)
    assert splits.folder.layout == "MVTec"
    assert counts(splits) == {"train": (9, 0), "validation": (1, 0), "test": (4, 3)}
    assert splits.test.masks.known.sum() == 3


def test_mvtec_loco(tmp_path, save, load):
    root = tmp_path / "breakfast_box"
    for part, count in (("train", 10), ("validation", 5), ("test", 4)):
        fill(save, root / part / "good", count)
    for kind in ("logical_anomalies", "structural_anomalies"):
        fill(save, root / "test" / kind, 3)
        for number in range(3):
            truth = root / "ground_truth" / kind / f"{number:03}"
            save(truth / "000.png", MASK // 255 * 236)
            save(truth / "001.png", np.roll(MASK, 2, 0))
    splits = load(root)
    assert splits.folder.layout == "MVTec LOCO"
    assert counts(splits) == {"train": (10, 0), "validation": (5, 0), "test": (4, 6)}
    assert splits.test.masks.known.sum() == 6
    index = int(np.flatnonzero(splits.test.is_anomaly)[0])
    rows = np.flatnonzero(splits.test.masks[index].any(axis=1))
    assert {7, 20} <= set(rows.tolist())  # rows 1 and 3 of five


def test_btad(tmp_path, save, load):
    root = tmp_path / "01"
    fill(save, root / "train" / "ok", 10, ".bmp")
    fill(save, root / "test" / "ok", 4, ".bmp")
    fill(save, root / "test" / "ko", 3, ".bmp", root / "ground_truth" / "ko")
    splits = load(root)
    assert (splits.folder.layout, splits.normal_name) == ("BTAD", "ok")
    assert counts(splits) == {"train": (9, 0), "validation": (1, 0), "test": (4, 3)}
    assert splits.test.masks.known.sum() == 3


@pytest.mark.parametrize("with_split", [True, False])
def test_visa(tmp_path, save, load, with_split):
    root = tmp_path / "visa" / "candle"
    fill(save, root / "Data/Images/Normal", 10, ".JPG")
    fill(save, root / "Data/Images/Anomaly", 4, ".JPG", root / "Data/Masks/Anomaly")
    normal = [f"candle/Data/Images/Normal/{n:03}.JPG" for n in range(10)]
    anomaly = [f"candle/Data/Images/Anomaly/{n:03}.JPG" for n in range(4)]
    lines = ["image,label,mask", *[f"{path},normal," for path in normal]]
    for number, path in enumerate(anomaly):
        lines.append(f'{path},"wax melded,other",candle/Data/Masks/Anomaly/{number:03}.png')
    (root / "image_anno.csv").write_text("\n".join(lines))
    if with_split:
        lines = ["object,split,label,image,mask"]
        lines += [
            f"candle,{'train' if n < 7 else 'test'},normal,{p}," for n, p in enumerate(normal)
        ]
        lines += [f"candle,test,anomaly,{path}," for path in anomaly]
        (root.parent / "split_csv").mkdir()
        (root.parent / "split_csv" / "1cls.csv").write_text("\n".join(lines))
    splits = load(root)
    assert splits.folder.layout == "VisA"
    assert splits.test.kind_names == ("normal", "wax melded")
    expected = {"train": (6, 0), "validation": (1, 0), "test": (3, 4)}
    drawn = {"train": (6, 2), "validation": (1, 1), "test": (3, 1)}
    assert counts(splits) == (expected if with_split else drawn)
    assert splits.test.masks.known.sum() == (4 if with_split else 1)


def test_kolektor_sdd2(tmp_path, save, load):
    root = tmp_path / "KolektorSDD2"
    for part, count in (("train", 12), ("test", 6)):
        for number in range(count):
            save(root / part / f"{number}.png")
            save(root / part / f"{number}_GT.png", MASK if number % 3 == 0 else MASK * 0)
    splits = load(root)
    assert splits.folder.layout == "KolektorSDD2"
    assert counts(splits) == {"train": (7, 3), "validation": (1, 1), "test": (4, 2)}
    assert splits.n_masked == 3


def test_a_table_loads_any_other_layout(tmp_path, save, load):
    lines = ["path,label,split,mask"]
    for number in range(10):
        save(tmp_path / "a" / f"{number}.png")
        lines.append(
            f"a/{number}.png,{'normal' if number % 2 else 0},{'train' if number < 7 else 'test'},"
        )
    save(tmp_path / "b" / "x.png")
    save(tmp_path / "masks" / "m.png", MASK)
    lines.append("b/x.png,scratch,test,masks/m.png")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    splits = load(tmp_path / "labels.csv")
    assert counts(splits) == {"train": (6, 0), "validation": (1, 0), "test": (3, 1)}
    assert splits.test.kind_names == ("normal", "scratch")
    assert splits.test.masks.known.sum() == 1


def test_rows_without_a_split_beside_others_with_one_are_told(tmp_path, save, load):
    lines = ["path,label,split"]
    for number in range(12):
        save(tmp_path / f"{number}.png")
        split = ("train", "test", "train", "")[number % 4]
        lines.append(f"{number}.png,{'crack' if number in (5, 7) else 'normal'},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    splits = load(tmp_path / "labels.csv")
    assert splits.folder.notes == ("3 images are without a split, unlike others, and are not used",)


def test_a_table_without_parts_is_split(tmp_path, save, load):
    lines = ["label,path"]
    for number in range(20):
        save(tmp_path / f"{number}.png")
        lines.append(f"{number % 4 // 3},{number}.png")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    found = counts(load(tmp_path / "labels.csv"))
    assert sum(normal for normal, _ in found.values()) == 15
    assert sum(anomaly for _, anomaly in found.values()) == 5


@pytest.mark.parametrize(
    ("train", "label", "message"),
    [
        ("train", "crack", "label normal and split test, to learn from .* Received: none$"),
        ("", "normal", "label normal and split train, .* none, and 12 images without a split$"),
    ],
)
def test_a_part_of_a_table_without_normal_images_is_named_in_its_words(
    tmp_path, save, load, train, label, message
):
    lines = ["path,label,split"]
    for number in range(16):
        save(tmp_path / f"{number}.png")
        end = f"normal,{train}" if number < 12 else f"{label},test"
        lines.append(f"{number}.png,{end}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=f"labels.csv: expected rows with {message}"):
        load(tmp_path / "labels.csv")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_table_whose_split_has_no_test_is_refused(tmp_path, save, load, split):
    lines = ["path,label,split"]
    for number in range(20):
        save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,normal,{split if number < 12 else ''}")
    lines.append("gone.png,normal,test")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    message = "labels.csv: expected images with the split test .*12 images with a split, none"
    with pytest.raises(DataError, match=message):
        load(tmp_path / "labels.csv", skip_bad=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns path and label, .*Received: an empty file"),
        ("file,label\n", "Received: file,label"),
        ("path,label,split\n1.png,normal,holdout\n", "in row 2 .*Received: '1.png,normal,holdout'"),
        ("path,label\n1.png,\n", "in row 2"),
        ("path,label\n1.png,ok\n1.png,ok\n", "every image once. Received: '1.png' again"),
    ],
)
def test_a_wrong_table_is_named(tmp_path, save, load, text, message):
    save(tmp_path / "1.png")
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "labels.csv")


def test_a_table_that_names_missing_files_is_refused(tmp_path, save, load):
    save(tmp_path / "1.png")
    (tmp_path / "labels.csv").write_text("path,label\n1.png,normal\n2.png,normal\n")
    with pytest.raises(DataError, match=r"2.png: expected a file. Received: no such file"):
        load(tmp_path / "labels.csv")
