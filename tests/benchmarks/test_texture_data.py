"""Synthetic defects are where their masks say, and nothing of the test is learnt from."""

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("skimage")

from benchmarks.texture_data import (
    DEFECTS,
    REGIONS,
    SIZES,
    Counts,
    cut_tiles,
    draw_defect,
    write_texture,
)
from ganad_tf.data.folder.load import load_folder
from ganad_tf.data.folder.options import FolderOptions
from ganad_tf.errors import UsageError

FEW = {"tile": 64, "labelled": 20, "counts": Counts(12, 6, 6, defective=3)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texture") / "gravel"
    write_texture(folder, "gravel", **FEW)
    return folder


def test_the_folder_can_be_trained_on(folder, tmp_path):
    split = folder / "split.csv"
    splits = load_folder(folder, FolderOptions(64, split_file=split), tmp_path)
    counts = {part: (s["normal"], s["anomaly"]) for part, s in splits.summary().items()}
    assert counts == {"train": (12, 18), "validation": (6, 2), "test": (6, 12)}
    masks = splits.test.masks
    assert len(masks.measurable) == len(masks) == 18
    assert [masks[index].any() for index in range(18)] == splits.test.is_anomaly.tolist()
    assert load_folder(folder, FolderOptions(64), tmp_path).protocol == "seen"


def test_it_may_be_told_where_labelled_defects_are(folder, tmp_path):
    write_texture(tmp_path / "gravel", "gravel", mask_labelled=True, **FEW)
    split = tmp_path / "gravel" / "split.csv"
    options = FolderOptions(64, split_file=split)
    splits = load_folder(tmp_path / "gravel", options, tmp_path)
    assert splits.n_masked == splits.n_labelled == 18
    options = FolderOptions(64, split_file=folder / "split.csv")
    assert splits.train.paths == load_folder(folder, options, tmp_path).train.paths


def test_without_labelled_defects_there_is_nothing_to_learn_from(tmp_path):
    write_texture(tmp_path / "brick", "brick", **{**FEW, "labelled": 0})
    options = FolderOptions(64, split_file=tmp_path / "brick" / "split.csv")
    splits = load_folder(tmp_path / "brick", options, tmp_path)
    assert splits.protocol == "none"


def test_the_seed_decides(folder, tmp_path):
    for seed in (0, 1):
        write_texture(tmp_path / str(seed), "gravel", seed=seed, **FEW)
    for path in folder.rglob("*.png"):
        name = path.relative_to(folder)
        assert (tmp_path / "0" / name).read_bytes() == path.read_bytes()
    name = "test/good/test-000.png"
    assert (tmp_path / "1" / name).read_bytes() != (folder / name).read_bytes()


def test_regions_share_no_pixel_and_tiles_stay_within():
    counts = np.zeros((512, 512), int)
    for place in REGIONS.values():
        counts[place] += 1
    assert counts.max() == 1
    region = np.arange(70 * 66).reshape(70, 66)
    tiles = cut_tiles(region, 64, 21, np.random.default_rng(0))
    assert sorted(int(tile[0, 0]) for tile in tiles) == [
        *(row * 66 + column for row in range(7) for column in range(3))
    ]
    assert {tile.shape for tile in tiles} == {(64, 64)}


@pytest.mark.parametrize("kind", DEFECTS)
@pytest.mark.parametrize("tile", [64, 128])
def test_masks_are_where_pixels_have_changed(kind, tile):
    from skimage import data

    original = data.grass()[:tile, :tile]
    areas = {}
    for size in SIZES:
        pairs = [draw_defect(original, kind, size, np.random.default_rng(n)) for n in range(8)]
        for image, mask in pairs:
            change = np.abs(image.astype(int) - original)
            assert not (change[~mask] >= 10).any()
            assert change[mask].mean() > 10
            assert 0 < mask.mean() < 0.5
        areas[size] = np.mean([mask.mean() for _, mask in pairs])
    assert areas["small"] < areas["medium"] < areas["large"]


def test_what_is_there_is_not_overwritten(folder):
    with pytest.raises(UsageError, match="expected a new folder"):
        write_texture(folder, "gravel", **FEW)


def test_pictures_are_grey(folder):
    assert {Image.open(path).mode for path in folder.rglob("*.png")} == {"L"}
