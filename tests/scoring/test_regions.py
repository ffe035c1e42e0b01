import numpy as np

from ganad_tf.scoring.regions import Region, find_regions


def regions_of(*rows):
    """Of a drawing: a space is unmarked, a digit is a marked pixel of that map value."""
    heat = np.array([[0 if c == " " else int(c) for c in row] for row in rows], np.float32)
    return find_regions(heat, heat > 0)


def test_a_region_has_a_box_an_area_and_a_peak():
    assert regions_of("     ", " 12  ", " 93  ", "     ") == [Region((1, 1, 2, 2), 4, 20.0, 9.0)]


def test_pixels_that_touch_at_a_corner_are_one_region():
    assert regions_of("1 ", " 1") == [Region((0, 0, 2, 2), 2, 50.0, 1.0)]


def test_regions_come_in_the_order_of_their_first_pixels():
    found = regions_of("  1 4", "3 1  ", "3    ")
    assert [region.peak for region in found] == [1.0, 4.0, 3.0]
    assert [region.box for region in found] == [(2, 0, 1, 2), (4, 0, 1, 1), (0, 1, 1, 2)]


def test_arms_that_meet_below_are_one_region():
    assert [region.area for region in regions_of("1 1", "1 1", "111")] == [7]


def test_an_unmarked_map_has_no_region():
    assert regions_of("   ", "   ") == []
