"""The detectors we are measured against."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ganad_tf.baselines.classical import CLASSICAL, pixels


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
