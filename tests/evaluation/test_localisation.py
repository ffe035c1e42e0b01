import itertools

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score

from ganad_tf.data.masks import Masks
from ganad_tf.errors import DataError
from ganad_tf.evaluation.localisation import Localisation, localise


def measured(maps, masks):
    result = Localisation()
    for i in range(len(maps)):
        result.add(maps[i : i + 1], masks[i : i + 1])
    return result


def brute_auroc(maps, masks):
    """The share of (sound, defective) pairs in the right order, pair by pair."""
    sound, defective = maps[~masks][:, None], maps[masks][None]
    return np.mean((defective > sound) + 0.5 * (defective == sound))


def brute_regions(mask):
    """Lists of the pixels of each connected region, by flooding."""
    left, regions = set(zip(*np.nonzero(mask), strict=True)), []
    while left:
        region, edge = [], [left.pop()]
        while edge:
            y, x = edge.pop()
            region.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        regions.append(region)
    return regions


def brute_aupro(maps, masks, limit=0.3):
    """Threshold by threshold; trapezoids, the last one cut at the limit."""
    regions = [(i, region) for i, mask in enumerate(masks) for region in brute_regions(mask)]
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel()), reverse=True):
        overlaps = [np.mean([maps[i][p] >= threshold for p in region]) for i, region in regions]
        points.append((np.mean(maps[~masks] >= threshold), np.mean(overlaps)))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 < limit and x1 > x0:
            end = min(x1, limit)
            y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
            area += (end - x0) * (y0 + y_end) / 2
    return area / limit


@pytest.fixture
def masks(rng):
    masks = rng.random((5, 9, 11)) < 0.12
    masks[0] = False
    masks[1, 2:5, 3:8] = True
    return masks


@pytest.mark.parametrize("help", [0, 0.3, 2])
@pytest.mark.parametrize("ties", [False, True])
def test_both_are_what_counting_by_hand_gives(rng, masks, help, ties):
    maps = (rng.random(masks.shape) + help * masks).astype(np.float32)
    if ties:
        maps = np.round(maps * 8) / 8
    result = measured(maps, masks)
    assert result.pixel_auroc() == pytest.approx(brute_auroc(maps, masks), abs=2e-4)
    assert result.aupro() == pytest.approx(brute_aupro(maps, masks), abs=1e-3)
    assert result.aupro(1) == pytest.approx(brute_aupro(maps, masks, 1), abs=1e-3)
    if ties:  # eighths fall into bins of their own, so nothing is lost
        assert result.pixel_auroc() == pytest.approx(brute_auroc(maps, masks), abs=1e-12)
        for limit in (0.3, 1):
            expected = brute_aupro(maps, masks, limit)
            assert result.aupro(limit) == pytest.approx(expected, abs=1e-12)


def test_what_rises_at_the_limit_itself_is_not_counted():
    """Overlap 0 up to 3 of 10 sound pixels, then 1."""
    maps, masks = np.arange(11.0).reshape(1, 1, 11), np.arange(11).reshape(1, 1, 11) == 7
    assert measured(maps, masks).aupro(0.3) == pytest.approx(brute_aupro(maps, masks, 0.3))
    assert measured(maps, masks).aupro(0.3) == pytest.approx(0)
    assert measured(maps, masks).aupro(0.4) == pytest.approx(0.25)


def test_a_perfect_map_gets_1_and_its_negative_0(masks):
    result = measured(masks.astype(float), masks)
    assert (result.pixel_auroc(), result.aupro()) == pytest.approx((1, 1))
    result = measured(-masks.astype(float), masks)
    assert (result.pixel_auroc(), result.aupro()) == pytest.approx((0, 0))


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-30, 7e20])
def test_a_constant_map_is_chance(masks, value):
    result = measured(np.full(masks.shape, value), masks)
    assert (result.pixel_auroc(), result.aupro()) == pytest.approx((0.5, 0.15))


@pytest.mark.parametrize(
    "change", [lambda m: 1000 * m, lambda m: m - 5, np.log, np.exp, lambda m: -1 / m]
)
def test_only_the_order_of_the_values_counts(rng, masks, change):
    maps = rng.random(masks.shape) + 0.1 + 0.4 * masks
    plain, changed = measured(maps, masks), measured(change(maps), masks)
    assert changed.pixel_auroc() == pytest.approx(plain.pixel_auroc(), abs=1e-3)
    assert changed.aupro() == pytest.approx(plain.aupro(), abs=1e-3)


def test_a_small_region_counts_as_much_as_a_large_one():
    masks = np.zeros((2, 10, 10), bool)
    masks[0, :5] = masks[1, 7, 7] = True
    maps = np.zeros(masks.shape)
    maps[0, :5] = 1  # the large one is found, the small one is not
    assert measured(maps, masks).pixel_auroc() > 0.98
    # Half of the overlap at once, the rest as by chance.
    assert measured(maps, masks).aupro() == pytest.approx(0.5 + 0.5 * 0.15, abs=1e-3)


def test_no_figure_without_both_sound_and_defective_pixels():
    nothing, normal, broken = Localisation(), Localisation(), Localisation()
    normal.add(np.ones((1, 3, 3)), np.zeros((1, 3, 3)))
    broken.add(np.ones((1, 3, 3)), np.ones((1, 3, 3)))
    for result in (nothing, normal, broken):
        assert result.pixel_auroc() is None
        assert result.aupro() is None


def test_batches_give_what_one_image_at_a_time_gives_and_unknown_masks_count_for_nothing(
    rng, tmp_path
):
    truth = rng.random((200, 4, 4)) < 0.3
    images = rng.integers(0, 256, (200, 4, 4, 1), np.uint8)
    normal, unknown = np.arange(200) < 20, np.arange(200) % 4 == 3
    truth[:, 0, 0] = True  # a mask without a defect is refused when a folder is loaded
    truth[normal] = False
    paths = [tmp_path / f"{index}.png" for index in range(200)]
    for path, mask in zip(paths, truth, strict=True):
        Image.fromarray(mask * np.uint8(255)).save(path)
    masks = Masks([None if unknown[i] else paths[i] for i in range(200)], ~normal, 4)
    result = localise(lambda batch: batch[..., 0] / 7, images, masks)
    indices = np.flatnonzero(normal | ~unknown)
    assert len(indices) == 155
    alone = measured(images[indices, ..., 0] / 7, truth[indices])
    assert result.pixel_auroc() == pytest.approx(alone.pixel_auroc(), abs=1e-12)
    assert result.aupro() == pytest.approx(alone.aupro(), abs=1e-12)


def test_maps_that_cannot_be_measured_are_refused():
    with pytest.raises(DataError, match=r"Received: \[1, 3, 3\], \[1, 3, 4\]"):
        Localisation().add(np.ones((1, 3, 3)), np.ones((1, 3, 4)))
    with pytest.raises(DataError, match="NaN"):
        Localisation().add(np.full((1, 3, 3), np.nan), np.ones((1, 3, 3)))


def test_pixel_f1_counts_marked_pixels_over_all_images(rng, masks):
    maps = rng.random(masks.shape).astype(np.float32) + masks / 2
    result = Localisation(threshold=0.7)
    for image in range(len(maps)):
        result.add(maps[image : image + 1], masks[image : image + 1])
    expected = f1_score(masks.ravel(), (maps > np.float32(0.7)).ravel())
    assert result.pixel_f1() == pytest.approx(expected)


def test_without_a_threshold_or_a_defect_there_is_no_pixel_f1(rng, masks):
    maps = rng.random(masks.shape)
    assert measured(maps, masks).pixel_f1() is None
    result = Localisation(threshold=0.5)
    result.add(maps, np.zeros_like(masks))
    assert result.pixel_f1() is None


def test_defects_of_which_no_pixel_is_marked_give_a_pixel_f1_of_zero(rng, masks):
    result = Localisation(threshold=2.0)
    result.add(rng.random(masks.shape), masks)
    assert result.pixel_f1() == 0.0
