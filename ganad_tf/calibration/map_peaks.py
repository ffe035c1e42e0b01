"""Scales of maps, and the largest value of each scaled map, from one pass over normal images."""

from collections.abc import Collection, Mapping

import numpy as np

from ganad_tf.calibration.map_scale import MAX_MAP_PIXELS, MapScale, fit_map_scale

# A map of normal images that is 0 nearly everywhere has no scale.
MIN_HIGH = 1e-30


class MapPeaks:
    """Fits scales to the maps of the first images, then scales and joins those of all images.

    Memory does not grow with the number of images: maps of about `MAX_MAP_PIXELS` pixels are kept.

    Args:
        centred: kind of map -> whether its typical value is subtracted. A kind that is not here
            keeps its values.
        joined: the kinds that the anomaly map is the mean of.
        max_pixels: scales are fitted once there are so many pixels of each kind.
    """

    def __init__(
        self,
        centred: Mapping[str, bool],
        joined: Collection[str],
        max_pixels: int = MAX_MAP_PIXELS,
    ):
        self._centred, self._joined = centred, joined
        self._left = max_pixels
        self._first: list[Mapping[str, np.ndarray]] = []
        self._scales: dict[str, MapScale] | None = None
        self._peaks: list[np.ndarray] = []

    def add(self, maps: Mapping[str, np.ndarray]) -> None:
        """Adds images.

        Args:
            maps: kind -> float32 [n, h, w], before it is scaled.
        """
        if self._scales is not None:
            self._peaks.append(self._peaks_of(maps))
            return
        self._first.append(maps)
        self._left -= next(iter(maps.values())).size
        if self._left <= 0:
            self._fit()

    def finish(self) -> tuple[dict[str, MapScale], np.ndarray]:
        """The scale of each kind, and the largest value of each image's anomaly map, [N]."""
        if self._scales is None:
            self._fit()
        assert self._scales is not None
        return self._scales, np.concatenate(self._peaks)

    def _fit(self) -> None:
        self._scales = {}
        for kind in self._centred.keys() & self._first[0].keys():
            is_centred = self._centred[kind]
            scale = fit_map_scale(np.concatenate([maps[kind] for maps in self._first]), is_centred)
            self._scales[kind] = MapScale(scale.typical, max(scale.high, MIN_HIGH))
        self._peaks = [self._peaks_of(maps) for maps in self._first]
        self._first = []

    def _peaks_of(self, maps: Mapping[str, np.ndarray]) -> np.ndarray:
        """The largest value of each scaled map.

        In float32 and in the order of the exported graph (`export.calibrated_graph`), so that a
        peak is the number that the graph gives.
        """
        assert self._scales is not None
        scaled = []
        for kind in self._joined:
            values = maps[kind]
            if kind in self._scales:
                scale = self._scales[kind]
                if self._centred[kind]:
                    values = values - np.float32(scale.typical)
                values = values * np.float32(1 / scale.high)
            scaled.append(values)
        total = scaled[0]
        for values in scaled[1:]:
            total = total + values
        return (total * np.float32(1 / len(scaled))).max(axis=(1, 2))
