"""Every mask file finds its image, and those that do not fit are named."""

import numpy as np

from ganad_tf.data.folder.layouts import list_folder
from ganad_tf.data.folder.masks import match_masks


def match(root):
    listing = list_folder(root)
    readable = {image.path for image in listing.images}
    masks = match_masks(listing, readable)
    return {image: path for image, (path,) in masks.of.items()}, masks.bad


def test_every_defective_test_image_finds_its_mask(mvtec):
    masks, bad = match(mvtec)
    assert masks == {f"test/hole/00{n}.png": f"ground_truth/hole/00{n}_mask.png" for n in range(3)}
    assert not bad


def test_masks_that_do_not_match_are_named(mvtec, save):
    truth = mvtec / "ground_truth" / "hole"
    (truth / "000_mask.png").rename(truth / "stray_mask.png")
    save(truth / "001_mask.png", np.ones((6, 6), np.uint8))
    save(truth / "002_mask.png", np.zeros((5, 6), np.uint8))
    masks, bad = match(mvtec)
    assert not masks
    assert {file.path.rpartition("/")[2]: file.reason for file in bad} == {
        "001_mask.png": "expected a mask of its image's size, 6x5. Received: 6x6",
        "002_mask.png": "expected a mask that marks a defect. Received: only black pixels",
        "stray_mask.png": "expected the mask of an anomaly. Received: no such image",
    }


def test_an_image_that_is_named_like_a_mask_finds_a_mask_of_just_its_name(own, save):
    mask = np.ones((5, 6), np.uint8)
    for name in ("hole/plate_seg.png", "scratch/board-gt.png"):
        save(own / "anomaly" / name)
    save(own / "ground_truth" / "hole" / "plate_seg.png", mask)
    save(own / "ground_truth" / "scratch" / "board-gt_mask.png", mask)
    save(own / "ground_truth" / "hole" / "3_mask.png", mask)
    masks, bad = match(own)
    assert not bad
    assert masks == {
        "anomaly/hole/plate_seg.png": "ground_truth/hole/plate_seg.png",
        "anomaly/scratch/board-gt.png": "ground_truth/scratch/board-gt_mask.png",
        "anomaly/hole/3.png": "ground_truth/hole/3_mask.png",
    }


def test_test_anomalies_without_a_mask_among_others_are_noted(mvtec, tmp_path):
    (mvtec / "ground_truth" / "hole" / "001_mask.png").unlink()
    listing = list_folder(mvtec)
    masks = match_masks(listing, {image.path for image in listing.images})
    assert not masks.bad
    assert masks.notes == [
        "1 of 3 test anomalies have no mask, so heat maps are measured without them: "
        "test/hole/001.png"
    ]
    table = mvtec / "table.csv"
    table.write_text(
        "path,label,split,mask\n"
        "test/hole/000.png,hole,test,ground_truth/hole/000_mask.png\n"
        "test/hole/001.png,hole,test,\n"
    )
    listing = list_folder(table)
    masks = match_masks(listing, {image.path for image in listing.images})
    assert (masks.bad, masks.notes) == ([], [])


def test_a_data_set_may_have_no_masks_at_all(mvtec):
    (mvtec / "ground_truth").rename(mvtec / "elsewhere")
    assert match(mvtec) == ({}, [])


def test_the_own_layout_may_have_masks_of_some(own, save):
    mask = np.ones((5, 6), np.uint8)
    for name in ("hole/3", "scratch/0", "2"):
        save(own / "ground_truth" / f"{name}_mask.png", mask)
    save(own / "ground_truth" / "hole" / "99_mask.png", mask)
    masks, bad = match(own)
    assert masks == {
        f"anomaly/{name}.png": f"ground_truth/{name}_mask.png"
        for name in ("2", "hole/3", "scratch/0")
    }
    assert [file.path for file in bad] == ["ground_truth/hole/99_mask.png"]


def test_anomalies_to_learn_from_may_have_masks(mvtec, save):
    """Also where no test image has one; but a test image's name is the test image's."""
    for number in ("000", "007", "008"):
        save(mvtec / "train" / "hole" / f"{number}.png")
    save(mvtec / "ground_truth" / "hole" / "007_mask.png", np.ones((5, 6), np.uint8))
    masks, bad = match(mvtec)
    assert not bad
    learnt = {"train/hole/007.png": "ground_truth/hole/007_mask.png"}
    assert masks == {
        **{f"test/hole/00{n}.png": f"ground_truth/hole/00{n}_mask.png" for n in range(3)},
        **learnt,
    }
    for number in range(3):
        (mvtec / "ground_truth" / "hole" / f"00{number}_mask.png").unlink()
    assert match(mvtec) == (learnt, [])
