"""The benchmark of recalibration: who is in which part, and a fair judgement."""

from pathlib import Path

import numpy as np

from benchmarks.real_defects import Pictures
from benchmarks.recalibration import judge, mono_to_poly, share_inside


def test_cells_are_learnt_from_one_kind_and_tested_on_the_other():
    names = np.array([f"{number}.png" for number in range(200)])
    kinds, is_anomaly = np.repeat(["mono", "poly"], 100), np.arange(200) % 4 == 0
    parts = mono_to_poly(Pictures(Path(), names, kinds, is_anomaly), 0)
    learnt = np.concatenate([parts.train, parts.validation, parts.labelled])
    assert len(set(learnt)) == len(learnt)
    assert set(kinds[learnt]) == {"mono"}
    assert not is_anomaly[[*parts.train, *parts.validation]].any()
    assert (len(parts.labelled), is_anomaly[parts.labelled].all()) == (10, True)
    assert list(parts.test) == list(range(100, 200))


def test_draws_of_exchangeable_images_keep_to_the_interval(rng):
    assert 0.88 <= share_inside(rng.normal(size=100), 0) <= 1


def test_far_too_many_false_alarms_lie_outside():
    found = judge(np.full(60, 2.0), np.arange(40) / 40, 37 / 40)
    assert (found["false_alarms"], found["inside"]) == (60, False)
