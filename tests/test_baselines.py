"""The detectors we are measured against."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ganad_tf.baselines import autoencoder
from ganad_tf.baselines.classical import CLASSICAL, pixels
from ganad_tf.baselines.neighbours import neighbours_on_pixels
from ganad_tf.data.image_view import ImageView
from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.settings.run_config import RunConfig


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_detector_on_pixels_tells_other_patterns_from_normal_ones(name, rng):
    basis = rng.normal(size=(20, 64))
    normal, same = (rng.normal(size=(n, 20)) @ basis for n in (300, 100))
    other = rng.normal(size=(100, 64)) * basis.std() * 20**0.5
    truth = np.arange(200) >= 100
    scores = CLASSICAL[name](normal, np.concatenate([same, other]), 0)
    assert scores.shape == (200,)
    # Isolation forests look at one pixel at a time, and these differ in how pixels go together.
    assert name == "iforest" or roc_auc_score(truth, scores) > 0.9
    far = CLASSICAL[name](normal, np.concatenate([same, other * 3]), 0)
    assert roc_auc_score(truth, far) > 0.9


def test_pixels_are_rows_in_unit_range():
    rows = pixels(np.full((2, 3, 4, 1), 255, np.uint8))
    assert rows.shape == (2, 12)
    assert rows.dtype == np.float32
    assert rows.min() == rows.max() == 1


def test_neighbours_notice_an_unusual_image_and_ignore_labels(rng):
    splits = Splits(*(squares(rng, n, bad) for n, bad in ((20, 3), (8, 0), (12, 6))), "", "", "")
    validation, test = neighbours_on_pixels(splits, 0)
    assert validation.shape == (8,)
    assert test[:6].min() > test[6:].max()
    normal = splits.train.subset(np.flatnonzero(~splits.train.is_anomaly))
    without = replace(splits, train=normal)
    np.testing.assert_array_equal(neighbours_on_pixels(without, 0)[1], test)


class Watched(ImageView):
    """A view that notes how many images were read at a time."""

    largest = 0

    def __getitem__(self, key):
        rows = super().__getitem__(key)
        Watched.largest = max(Watched.largest, len(rows))
        return rows


def test_the_autoencoder_reads_images_in_batches(rng, monkeypatch):
    monkeypatch.setattr(autoencoder, "BATCH", 8)
    parts = [squares(rng, count, 3) for count in (20, 12, 18)]
    splits = Splits(
        *(replace(part, images=Watched(part.images, np.arange(len(part)))) for part in parts),
        *("good", "seen", "0" * 64),
    )
    config = RunConfig(width=2, epochs=1, steps_per_epoch=2, batch_size=8, image_size=48)
    validation, test = autoencoder.autoencoder_errors(config, splits)
    assert (len(validation), len(test), Watched.largest) == (12, 18, 8)


def squares(rng, count, anomalies):
    """Grey noise; the first images have a bright square."""
    images = rng.integers(60, 90, (count, 96, 96, 1), dtype=np.uint8)
    images[:anomalies, 20:60, 20:60] = 250
    kinds = (np.arange(count) < anomalies).astype(np.int64)
    return LabelledImages(images, kinds, ("good", "bad"), frozenset({0}))
