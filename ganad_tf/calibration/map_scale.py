"""The scale that makes anomaly maps comparable between images."""

import dataclasses

import numpy as np

# At least this share of the pixels of normal validation images lies below a map value of 1. Of
# centred maps it is more: they are divided by the quantile of the values before they are centred.
MAP_QUANTILE = 0.999
# More pixels than this would cost memory and change little.
MAX_MAP_PIXELS = 10_000_000


@dataclasses.dataclass(frozen=True)
class MapScale:
    """What makes one kind of map comparable between images.

    Args:
        typical: its median over pixels of normal validation images; subtracted, because distances,
            unlike errors, are far from 0 on normal images.
        high: its 99.9 % quantile there; above 0.
    """

    typical: float
    high: float


def fit_map_scale(values: np.ndarray, is_centred: bool) -> MapScale:
    """The scale of one kind of map.

    Args:
        values: the map of normal images that were not trained on, any shape, at least one value.
        is_centred: whether the typical value is subtracted. That of errors is not: on normal
            images, errors are near 0 already.
    """
    typical = float(np.median(values)) if is_centred else 0.0
    return MapScale(typical, float(np.quantile(values, MAP_QUANTILE)))
