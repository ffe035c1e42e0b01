import numpy as np
import pytest

from ganad_tf.calibration.map_peaks import MapPeaks
from ganad_tf.calibration.map_scale import MapScale, fit_map_scale

CENTRED = {"errors": False, "distances": True}


@pytest.fixture
def maps(rng):
    """Two kinds of maps of 12 images."""
    shape = (12, 6, 5)
    return {
        "errors": rng.exponential(size=shape).astype(np.float32),
        "distances": rng.normal(5, 1, shape).astype(np.float32),
    }


def gathered(maps, batch, joined=("errors", "distances"), max_pixels=10**6):
    peaks = MapPeaks(CENTRED, joined, max_pixels)
    for start in range(0, 12, batch):
        peaks.add({kind: values[start : start + batch] for kind, values in maps.items()})
    return peaks.finish()


def test_peaks_are_the_largest_values_of_the_joined_scaled_maps(maps):
    scales, peaks = gathered(maps, 12)
    assert scales["errors"] == fit_map_scale(maps["errors"], False)
    assert scales["distances"] == fit_map_scale(maps["distances"], True)
    joined = sum((maps[kind] - scales[kind].typical) / scales[kind].high for kind in maps) / 2
    np.testing.assert_allclose(peaks, joined.max(axis=(1, 2)), rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 5])
def test_batches_change_nothing(maps, batch):
    scales, peaks = gathered(maps, batch)
    assert scales == gathered(maps, 12)[0]
    np.testing.assert_array_equal(peaks, gathered(maps, 12)[1])


def test_scales_rest_on_the_first_images_and_peaks_on_all(maps):
    scales, peaks = gathered(maps, 4, max_pixels=4 * 30)
    assert scales == gathered({kind: values[:4] for kind, values in maps.items()}, 4)[0]
    assert len(peaks) == 12
    last = sum((maps[kind][8:] - scales[kind].typical) / scales[kind].high for kind in maps) / 2
    np.testing.assert_allclose(peaks[8:], last.max(axis=(1, 2)), rtol=1e-5)


def test_a_kind_that_is_not_joined_gets_a_scale_and_changes_no_peak(maps):
    scales, peaks = gathered(maps, 12, joined=("errors",))
    assert scales.keys() == CENTRED.keys()
    high = scales["errors"].high
    np.testing.assert_allclose(peaks, maps["errors"].max(axis=(1, 2)) / high, rtol=1e-5)


def test_a_kind_without_a_scale_keeps_its_values(maps):
    peaks = MapPeaks({}, ["errors"])
    peaks.add(maps)
    scales, found = peaks.finish()
    assert scales == {}
    np.testing.assert_array_equal(found, maps["errors"].max(axis=(1, 2)))


def test_a_map_of_zeros_has_a_scale_that_divides(maps):
    scales, peaks = gathered({**maps, "errors": np.zeros((12, 6, 5), np.float32)}, 12)
    assert scales["errors"] == MapScale(0.0, 1e-30)
    assert np.isfinite(peaks).all()
