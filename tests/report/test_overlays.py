import numpy as np
import pytest

from export import runtime
from ganad_tf.report import overlays


@pytest.mark.parametrize("shape", [(8, 6), (4, 3), (17, 20)])
def test_the_report_shows_what_the_runtime_writes(rng, shape):
    pixels = rng.integers(0, 256, (8, 6, 3), np.uint8)
    heat = rng.normal(1, 1, shape)
    ours = overlays.overlay(pixels, heat, (0, 2))
    np.testing.assert_array_equal(ours, runtime.overlay(pixels, heat, (0, 2)))
    assert overlays.HEAT == runtime.HEAT
    mask = heat > 1
    ours = overlays.overlay(pixels, heat, (0, 2), mask)
    np.testing.assert_array_equal(ours, runtime.overlay(pixels, heat, (0, 2), mask))
    assert (ours == runtime.OUTLINE).all(axis=-1).any()


@pytest.mark.parametrize("side", [9, 650])
def test_both_draw_outlines_of_one_thickness(rng, side):
    mask = rng.random((side, side)) < 0.9
    np.testing.assert_array_equal(overlays.outline(mask), runtime.outline(mask))


def test_a_grey_image_is_drawn_as_its_coloured_equal_and_stays_itself_where_it_is_cool(rng):
    grey = rng.integers(0, 256, (5, 5, 1), np.uint8)
    cool = overlays.overlay(grey, np.zeros((5, 5)), (0, 2))
    np.testing.assert_array_equal(cool, grey.repeat(3, axis=-1))
    heat = rng.random((5, 5))
    np.testing.assert_array_equal(
        overlays.overlay(grey, heat, (0, 2)), overlays.overlay(cool, heat, (0, 2))
    )
