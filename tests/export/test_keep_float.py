"""Which groups of operators stay in float32."""

import numpy as np
import pytest

from export.keep_float import MAX_SCORE_ERROR, Agreement, keep_float


class Model:
    """Groups that each add an error of their own to the scores, unless kept in float32."""

    def __init__(self, *errors):
        self.errors, self.measured = np.array(errors), []

    def __call__(self, kept):
        self.measured.append(kept)
        rest = [error for group, error in enumerate(self.errors) if group not in kept]
        return Agreement(float(np.hypot.reduce([0, *rest])), 0.0, 0.0, 0.02, 0.005, 0.001)


def test_a_good_model_is_tried_once():
    found = keep_float(Model(0.01, 0.01), [1, 1])
    assert (found.kept, found.tries) == (frozenset(), 1)


def test_the_fewest_and_worst_groups_are_kept():
    model = Model(0.003, 0.001, 0.5, 0.002, 0.3, 0.001, 0.002, 0.001)
    found = keep_float(model, [1] * 8)
    assert found.kept == {2, 4}
    assert found.chosen.holds
    assert not found.first.holds
    assert found.tries == len(model.measured)


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_tries_are_bounded(count):
    model = Model(*[1.0] * count)
    found = keep_float(model, [1] * count)
    assert not found.chosen.holds
    assert found.tries == len(model.measured) <= count + 5


def test_the_score_error_does_not_count_where_the_auroc_is_measured():
    assert Agreement(0.5, 0.0, 0.0, None, 0.005, 0.001).holds


def test_at_least_half_of_the_work_stays_in_int8():
    model = Model(0.5, 0.001, 0.001)
    assert keep_float(model, [2, 1, 2]).kept == {0}
    assert 0 not in keep_float(model, [8, 1, 2]).kept


def test_where_nothing_is_enough_the_best_choice_is_taken():
    found = keep_float(Model(0.3, 0.4, 0.5, 0.6), [1] * 4)
    assert found.kept == {2, 3}
    assert not found.chosen.holds


def test_no_search_where_the_budget_is_too_small():
    model = Model(0.5, 0.001, 0.001)
    assert keep_float(model, [1, 1, 1], max_tries=2).kept == frozenset()
    assert len(model.measured) == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"score_error": 2 * MAX_SCORE_ERROR},
        {"differing": 0.006},
        {"auroc_drop": 0.002},
    ],
)
def test_every_measure_must_hold(broken):
    good = {"score_error": 0.01, "differing": 0.0, "auroc_drop": -0.1}
    allowed = {
        "allowed_score_error": MAX_SCORE_ERROR,
        "allowed_differing": 0.005,
        "allowed_auroc_drop": 0.001,
    }
    assert Agreement(**good, **allowed).holds
    agreement = Agreement(**{**good, **broken}, **allowed)
    assert not agreement.holds
    assert agreement.excess > Agreement(**good, **allowed).excess
