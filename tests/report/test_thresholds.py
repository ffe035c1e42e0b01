"""The numbers behind the threshold slider, and the page without its script."""

import json
import re

import numpy as np
import pytest

from ganad_tf.data.images import LabelledImages
from ganad_tf.evaluation.false_alarms import expected_rate, rate_bounds
from ganad_tf.report.page import render_report
from ganad_tf.report.thresholds import describe_thresholds
from tests.report.test_page import report

NORMAL_SCORES = np.arange(1.0, 100.0)  # 99: the fewest that can promise 1 %
COMMAND = "ganad score model.onnx IMAGES --threshold"


def images(kinds, names=("good", "scratch", "hole"), paths=()):
    kinds = np.asarray(kinds, np.int64)
    pixels = np.zeros((len(kinds), 2, 2, 1), np.uint8)
    return LabelledImages(pixels, kinds, names, frozenset([0]), paths)


def described(scores, kinds, chosen=95.0, **more):
    return describe_thresholds(images(kinds, **more), scores, chosen, NORMAL_SCORES, COMMAND)


SCORES = np.array([10, 96, 99.5, 50, 97, 300], np.float32)
KINDS = [0, 0, 0, 1, 1, 2]


def test_rows_say_what_is_promised_seen_and_found_by_kind():
    thresholds = described(SCORES, KINDS)
    rows = {row.rule: row for row in thresholds.rows}
    assert thresholds.kinds == [("scratch", 2), ("hole", 1)]
    assert (rows["this run"].seen, rows["this run"].found_by_kind) == (2, (1, 1))
    strict = rows["at most 1.0% promised"]
    assert (strict.threshold, strict.seen, strict.found_by_kind) == (99.0, 1, (0, 1))
    assert strict.promised == expected_rate(NORMAL_SCORES, 99.0)
    assert "at most 0.1% promised" not in rows, "99 normal images cannot promise it"
    assert [row.threshold for row in thresholds.rows] == sorted(r.threshold for r in rows.values())


@pytest.mark.parametrize("threshold", [0.0, 1.0, 1.5, 50.0, 98.5, 99.0, 100.0])
def test_intervals_can_be_looked_up(threshold):
    low, high = rate_bounds(len(NORMAL_SCORES))
    above = int(np.sum(threshold < NORMAL_SCORES))
    equal = int(threshold in NORMAL_SCORES)
    expected = expected_rate(NORMAL_SCORES, threshold)
    assert low[above + equal] == pytest.approx(expected["low"])
    assert high[above + 1] == pytest.approx(expected["high"])
    assert (2 * above + equal + 1) / 200 == pytest.approx(expected["mean"])


def test_scores_and_thresholds_reach_the_script_exactly():
    scores = np.random.default_rng(0).normal(1, 0.1, 60).astype(np.float32)
    values = json.loads(json.dumps(described(scores, np.arange(60) % 3).values))
    np.testing.assert_array_equal(np.float32(values["scores"]), scores)
    assert values["validation"] == NORMAL_SCORES.tolist()
    assert values["chosen"] == 95.0
    assert values["anomalous"] == [1, 2]


def test_the_slider_reaches_all_scores_but_extreme_ones():
    values = described(SCORES, KINDS).values
    step = 10.0 ** values["exponent"]
    assert values["first"] * step <= 1.0
    assert 300 <= values["last"] * step <= 310
    far = described(np.append(SCORES, np.float32(1e6)), [*KINDS, 2]).values
    assert far["last"] * 10.0 ** far["exponent"] == pytest.approx(95 + 8 * 94, rel=0.01)
    assert 400 <= far["last"] - far["first"] <= 5000


def test_without_anomalies_or_any_spread_there_is_a_slider_still():
    thresholds = describe_thresholds(
        images([0, 0]), np.full(2, 5.0), 5.0, np.full(30, 5.0), COMMAND
    )
    assert thresholds.kinds == []
    assert thresholds.values["first"] < thresholds.values["last"]
    html = render_report(report(thresholds=thresholds))
    assert 'id="price-miss"' not in html


def test_the_page_is_readable_without_its_script():
    html = " ".join(render_report(report(thresholds=described(SCORES, KINDS))).split())
    without = re.sub(r"<script.*?</script>", "", html)
    for text in ("at most 5.0% promised", "scratch", f"<code>{COMMAND} T</code>", "<noscript>"):
        assert text in without
    assert '<div id="controls" hidden>' in without
    assert re.search(r'class="anomaly" d="M[\d.]+ 50v-', without)


def test_the_slider_loads_nothing_and_obeys_no_hostile_name():
    evil = "</script><script>alert(1)</script>{{ 7 * 7 }}"
    scores = np.array([1.0, 99.0], np.float32)
    thresholds = described(scores, [0, 1], names=("good", evil), paths=(evil, "a.png"))
    html = render_report(report(thresholds=thresholds))
    scripts = re.findall(r"<script(.*?)>(.*?)</script>", html, re.DOTALL)
    assert [attributes for attributes, _ in scripts] == [
        ' type="application/json" id="threshold-values"',
        "",
    ]
    values = json.loads(scripts[0][1])
    assert (values["kind_names"][1], values["names"][0]) == (evil, evil)
    assert not re.search(r"innerHTML|eval\(|import|fetch|http|document\.write", scripts[1][1])
