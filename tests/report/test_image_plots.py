import numpy as np
import pytest

from ganad_tf.report.image_plots import (
    Samples,
    overlay_rows,
    pick_examples,
    sample_rows,
    worst_mistakes,
)
from ganad_tf.report.overlays import overlay

RNG = np.random.default_rng(0)


def samples(count, channels=1, heat=1.0, masks=()):
    images = RNG.integers(0, 256, (count, 8, 6, channels), np.uint8)
    return Samples(
        images,
        255 - images,
        np.full((count, 8, 6), heat),
        ["kind"] * count,
        np.arange(count),
        masks,
    )


def pictures(figure):
    return [axes.images[0] for axes in figure.axes if axes.images]


@pytest.mark.parametrize("channels", [1, 3])
def test_maps_share_one_fixed_scale_and_images_are_never_stretched(channels):
    figure = sample_rows(samples(3, channels, heat=0.01), samples(2, channels, heat=9), (0, 2))
    heats = [p for p in pictures(figure) if p.get_cmap().name == "inferno"]
    assert len(heats) == 5
    assert {(heat.norm.vmin, heat.norm.vmax) for heat in heats} == {(0, 2)}
    grays = [p for p in pictures(figure) if p.get_cmap().name == "gray"]
    assert {(gray.norm.vmin, gray.norm.vmax) for gray in grays} == {(0, 255)}


def test_the_colour_bar_shows_the_scale_of_the_maps():
    figure = sample_rows(samples(1), samples(1), colour_range=(0.5, 3))
    assert figure.axes[-1].get_ylim() == pytest.approx((0.5, 3))


def test_sample_columns_hold_original_reconstruction_and_map_of_one_image():
    normal, anomalous = samples(2), samples(3)
    shown = [
        np.asarray(picture.get_array()) for picture in pictures(sample_rows(normal, anomalous))
    ]
    # Row by row: originals, reconstructions and maps of the two normal samples come first.
    np.testing.assert_array_equal(shown[1], normal.images[1, ..., 0])
    np.testing.assert_array_equal(shown[3], normal.reconstructions[1, ..., 0])
    np.testing.assert_array_equal(shown[5], normal.maps[1])


@pytest.mark.parametrize("channels", [1, 3])
def test_overlays_are_drawn_on_the_one_scale(channels):
    normal, anomalous = samples(2, channels, heat=0.01), samples(3, channels, heat=9)
    shown = [np.asarray(p.get_array()) for p in pictures(overlay_rows(normal, anomalous, (0, 2)))]
    assert len(shown) == 10
    np.testing.assert_array_equal(shown[3], overlay(normal.images[1], normal.maps[1], (0, 2)))
    np.testing.assert_array_equal(shown[9], overlay(anomalous.images[2], anomalous.maps[2], (0, 2)))


def test_a_known_mask_is_outlined_on_its_overlay():
    mask = np.zeros((8, 6), bool)
    mask[5:, 2:4] = True  # down to the border, where the line must close
    figure = overlay_rows(samples(1), samples(3, masks=[None, mask, None]))
    drawn = [axes for axes in figure.axes if axes.images]
    outlined = [number for number, axes in enumerate(drawn) if axes.collections]
    assert outlined == [6]  # two of normal images, three originals, then the second overlay
    (line,) = drawn[6].collections[0].get_paths()[0].to_polygons(closed_only=False)
    assert line.min(axis=0).tolist() == [1.5, 4.5]
    assert line.max(axis=0).tolist() == [3.5, 7.5]
    np.testing.assert_array_equal(line[0], line[-1])
    assert drawn[6].get_ylim() == drawn[5].get_ylim()


def test_worst_mistakes_are_the_highest_normals_and_the_lowest_anomalies():
    images = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1) * np.ones((1, 4, 4, 1), np.uint8)
    figure = worst_mistakes(
        images,
        scores=[1, 5, 3, 4, 2, 9],
        is_anomaly=[0, 0, 0, 1, 1, 1],
        kinds=[0, 0, 0, 1, 2, 2],
        kind_names=("good", "scratch", "hole"),
        threshold=3.5,
        count=2,
    )
    assert [int(np.asarray(p.get_array())[0, 0]) for p in pictures(figure)] == [1, 2, 4, 3]
    drawn = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in drawn] == ["good", "good", "hole", "scratch"]
    assert [axes.get_xlabel() for axes in drawn] == ["5", "3", "2", "4"]
    is_orange = [axes.xaxis.label.get_color() == "#D55E00" for axes in drawn]
    assert is_orange == [True, False, True, False]


def test_examples_are_spread_evenly_over_kinds_and_repeatable():
    kinds = np.array([0] * 50 + [1] * 30 + [2] * 30 + [3])
    normal, anomalous = pick_examples(kinds > 0, kinds, count=5, seed=3)
    assert list(kinds[normal]) == [0] * 5
    assert list(np.bincount(kinds[anomalous])) == [0, 2, 2, 1]
    np.testing.assert_array_equal(anomalous, pick_examples(kinds > 0, kinds, 5, seed=3)[1])
    assert len(np.unique(anomalous)) == 5


def test_fewer_images_than_asked_for_are_all_shown():
    normal, anomalous = pick_examples([0, 1, 1], [0, 1, 1], count=9)
    assert (len(normal), len(anomalous)) == (1, 2)
