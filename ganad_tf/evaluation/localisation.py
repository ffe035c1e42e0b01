"""How well anomaly maps show where a defect is, by pixel masks."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage
from sklearn.metrics import auc, roc_auc_score, roc_curve

from ganad_tf.data.image_view import ImageView
from ganad_tf.data.masks import Masks
from ganad_tf.errors import DataError

# As in MVTec's own evaluation (Bergmann et al. 2021).
FALSE_ALARM_LIMIT = 0.3
# Map values are sorted into bins by the leading bits of their float32: sign, exponent and 11 bits
# of the fraction. Such bins need no range in advance, and their width is 1/2048 of the value.
_BITS = 20
_BATCH = 64


class Localisation:
    """Gathers anomaly maps batch by batch and measures them over all their pixels.

    Args:
        threshold: a pixel is marked if its map value is greater; None if nothing is marked.

    Memory does not grow with the number of images, because only histograms of 2^20 bins are kept
    (24 MB). Values in one bin count as equal. The error of an area is at most half the share of
    (sound, defective) pairs of pixels that are in one bin: 1e-4 on continuous maps.
    """

    def __init__(self, threshold: float | None = None):
        self._threshold = threshold
        self._marked = {"right": 0, "wrong": 0, "missed": 0}
        self._sound = np.zeros(2**_BITS, np.int64)
        self._defective = np.zeros(2**_BITS, np.int64)
        # Each defective pixel as the share that it has of its region.
        self._overlap = np.zeros(2**_BITS)

    def add(self, maps: np.ndarray, masks: np.ndarray) -> None:
        """Adds images.

        Args:
            maps: anomaly maps, float [N, h, w]; higher means more anomalous.
            masks: bool [N, h, w], true on defects; all false for normal images.

        Raises:
            DataError: if the shapes differ or a value is not finite.
        """
        maps, masks = np.asarray(maps, np.float32), np.asarray(masks, bool)
        if maps.ndim != 3 or maps.shape != masks.shape:
            raise DataError(
                "maps, masks: expected one shape [N, h, w]. "
                f"Received: {list(maps.shape)}, {list(masks.shape)}"
            )
        if not np.isfinite(maps).all():
            raise DataError("maps: expected finite numbers. Received: NaN or infinity")
        if self._threshold is not None:
            marked = maps > np.float32(self._threshold)
            self._marked["right"] += int(np.count_nonzero(marked & masks))
            self._marked["wrong"] += int(np.count_nonzero(marked & ~masks))
            self._marked["missed"] += int(np.count_nonzero(masks & ~marked))
        bins = _bins(maps)
        self._sound += np.bincount(bins[~masks], minlength=2**_BITS)
        self._defective += np.bincount(bins[masks], minlength=2**_BITS)
        for image_bins, mask in zip(bins, masks, strict=True):
            # Pixels that touch at a corner belong together, as in MVTec's own evaluation.
            regions, _ = ndimage.label(mask, structure=np.ones((3, 3)))
            shares = 1 / np.maximum(np.bincount(regions.ravel()), 1)
            np.add.at(self._overlap, image_bins[mask], shares[regions[mask]])

    def pixel_auroc(self) -> float | None:
        """Area under the ROC curve of all pixels; None without both sound and defective ones."""
        weighted = self._curve_data(self._defective)
        return weighted and float(roc_auc_score(*weighted[:2], sample_weight=weighted[2]))

    def aupro(self, limit: float = FALSE_ALARM_LIMIT) -> float | None:
        """Area under the per-region overlap, over false-alarm rates up to `limit`, divided by it.

        Overlap is the share of a connected region that lies above a threshold, averaged over all
        regions of all images, so that small defects count as much as large ones; the false-alarm
        rate is over all sound pixels (Bergmann et al., *The MVTec Anomaly Detection Dataset*,
        IJCV 2021). 1 is perfect, chance is limit / 2.

        Args:
            limit: in (0, 1].

        Returns:
            In [0, 1], or None without both sound and defective pixels.
        """
        weighted = self._curve_data(self._overlap)
        if weighted is None:
            return None
        truth, values, weights = weighted
        # The "true-positive rate" with each pixel weighted by its share of a region is the overlap.
        rates, overlaps, _ = roc_curve(
            truth, values, sample_weight=weights, drop_intermediate=False
        )
        # Up to the first point at the limit or beyond it, then interpolated at the limit.
        end = int(np.searchsorted(rates, limit)) + 1
        rates, overlaps = rates[:end], overlaps[:end]
        overlaps[-1] = np.interp(limit, rates[-2:], overlaps[-2:])
        rates[-1] = limit
        return float(auc(rates, overlaps) / limit)

    def pixel_f1(self) -> float | None:
        """F1 of the marked pixels over all pixels, a defective one being the positive class.

        None without a threshold or without defective pixels.
        """
        right, wrong, missed = self._marked.values()
        if self._threshold is None or not right + missed:
            return None
        return 2 * right / (2 * right + wrong + missed)

    def _curve_data(self, defective):
        """Truth, value and weight of every bin that is not empty, for scikit-learn's curves."""
        if not self._sound.any() or not defective.any():
            return None
        sound, other = np.flatnonzero(self._sound), np.flatnonzero(defective)
        return (
            np.repeat([False, True], [len(sound), len(other)]),
            np.concatenate([sound, other]),
            np.concatenate([self._sound[sound], defective[other]]),
        )


def localise(
    maps_of: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray | ImageView,
    masks: Masks,
    threshold: float | None = None,
) -> Localisation:
    """Maps images in batches and measures them; images whose mask is unknown are left out.

    Args:
        maps_of: gives the anomaly maps, float [n, h, w], of images uint8 [n, h, w, C].
        images: uint8 [N, h, w, C].
        masks: of the same images.
        threshold: see `Localisation`.
    """
    measured = Localisation(threshold)
    known = masks.measurable
    for start in range(0, len(known), _BATCH):
        some = known[start : start + _BATCH]
        measured.add(maps_of(images[some]), np.array([masks[index] for index in some]))
    return measured


def _bins(maps: np.ndarray) -> np.ndarray:
    """The bin of each float32, int [...], in the order of their values."""
    # Adding zero makes -0.0 equal to 0.0 in its bits as well.
    bits = (maps + np.float32(0)).view(np.uint32)
    # Floats are ordered as their bits are, negative ones the other way round.
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return (ordered >> (32 - _BITS)).astype(np.int64)
