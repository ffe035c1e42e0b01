"""The slider of report.html in a real browser: its numbers are those of runtime.py."""

import csv
import re
import shlex

import numpy as np
import pytest
from PIL import Image

from export import runtime
from ganad_tf.data.images import LabelledImages
from ganad_tf.evaluation.false_alarms import expected_rate
from ganad_tf.report.page import write_report
from ganad_tf.report.thresholds import describe_thresholds
from tests.export.conftest import make_images
from tests.report.test_page import report

COUNT = 120
KINDS = ("blob", "square", "small, löcher")


@pytest.fixture(scope="module")
def tested():
    drawn = make_images(COUNT, seed=7)
    kinds = np.where(drawn.is_anomaly & (np.arange(COUNT) % 3 == 0), 2, drawn.kinds)
    paths = tuple(f"{KINDS[kind].split(',')[0]}/{i:03}.png" for i, kind in enumerate(kinds))
    return LabelledImages(drawn.images, kinds, KINDS, frozenset([0]), paths)


@pytest.fixture(scope="module")
def folder(tested, tmp_path_factory):
    """The test images as files."""
    folder = tmp_path_factory.mktemp("slider") / "photos"
    for path, pixels in zip(tested.paths, tested.images[:], strict=True):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[..., 0]).save(folder / path)
    return folder


@pytest.fixture(scope="module")
def thresholds(detector, tested, model_path):
    command = f"python export/runtime.py {shlex.quote(str(model_path))} IMAGES --threshold"
    scores = detector.run(tested.images[:])["score"]
    scorer = detector.scorer
    return describe_thresholds(
        tested, scores, scorer.threshold, np.asarray(scorer.normal_scores), command
    )


@pytest.fixture(scope="module")
def browser(start_browser, thresholds, tmp_path_factory):
    """The report, opened as a file, as users do."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(report(thresholds=thresholds), path)
    page = start_browser()
    page.browser.get(path.as_uri())
    return page


def move(browser, position):
    browser.run(
        """const slider = document.getElementById("slider");
        slider.value = a[0];
        slider.dispatchEvent(new Event("input"));""",
        int(position),
    )


def press(browser, css):
    """Presses a button by the keyboard."""
    browser.find(css).send_keys("\ue007")


def enter(browser, field, value):
    browser.run(
        """const field = document.getElementById(a[0]);
        field.value = a[1];
        field.dispatchEvent(new Event("input"));""",
        field,
        str(value),
    )


def counts(browser):
    """What the page says: false alarms, anomalies found, and found by kind."""
    seen, found = (
        int(re.search(r"\((\d+) of", browser.text(css))[1]) for css in ("#seen", "#found")
    )
    cells = browser.browser.find_elements("css selector", "#by-kind td:last-child")
    return seen, found, [int(cell.text.split()[0]) for cell in cells]


def alarms_of_runtime(command, folder, tmp_path):
    """Runs the command that the page shows on the test images; returns what is an anomaly."""
    words = shlex.split(command)
    assert words[:2] == ["python", "export/runtime.py"]
    words[words.index("IMAGES")] = str(folder)
    output = tmp_path / "scores.csv"
    assert runtime.main([*words[2:], "--csv", str(output), "--quiet"]) == 0
    with output.open(newline="", encoding="utf-8") as file:
        rows = {row["path"]: row["is_anomaly"] for row in csv.DictReader(file)}
    output.unlink()
    return {
        path.removeprefix(f"{folder}/") for path, decision in rows.items() if decision == "True"
    }


def test_its_numbers_are_those_of_runtime_py_for_20_thresholds(
    browser, thresholds, tested, detector, folder, tmp_path
):
    values = thresholds.values
    told = []
    for position in np.linspace(values["first"], values["last"], 20).round():
        move(browser, position)
        command = browser.text("#command")
        alarms = alarms_of_runtime(command, folder, tmp_path)
        by_kind = dict.fromkeys(KINDS, 0)
        for path, kind in zip(tested.paths, tested.kinds, strict=True):
            by_kind[KINDS[kind]] += path in alarms
        seen, found, of_kinds = counts(browser)
        assert of_kinds == [by_kind[kind] for kind in KINDS[1:]], command
        assert (seen, found) == (by_kind["blob"], sum(of_kinds)), command
        expected = expected_rate(detector.scorer.normal_scores, float(command.split()[-1]))
        promised = [
            float(number) for number in re.findall(r"([\d.]+) %", browser.text("#promised"))
        ]
        rates = [100 * expected[key] for key in ("mean", "confidence", "low", "high")]
        assert promised == pytest.approx(rates, abs=0.051)
        told.append((seen, found))
    assert told[0] == (COUNT // 2, COUNT // 2)
    assert told[-1][0] == 0
    assert len(set(told)) > 5


def test_it_begins_at_the_threshold_of_the_run_and_goes_back(browser, thresholds):
    move(browser, thresholds.values["last"])
    press(browser, "#reset")
    assert float(browser.text("#command").split()[-1]) == thresholds.values["chosen"]
    row = next(row for row in thresholds.rows if row.rule == "this run")
    assert counts(browser) == (row.seen, row.found, list(row.found_by_kind))
    assert "0 of 120 test images are decided otherwise" in browser.text("#changed")


@pytest.mark.parametrize(
    ("moved_to", "filled", "empty"), [(-1, "#up", "#down"), (99, "#down", "#up")]
)
def test_images_that_change_sides_are_named(browser, thresholds, tested, moved_to, filled, empty):
    chosen, scores = thresholds.values["chosen"], np.float32(thresholds.values["scores"])
    enter(browser, "threshold-field", moved_to)
    changed = [i for i in np.argsort(scores) if (scores[i] > chosen) == (moved_to > chosen)]
    if moved_to < chosen:
        changed.reverse()
    assert f"{len(changed)} of {COUNT} test images" in browser.text("#changed")
    listed = browser.text(filled).splitlines()
    assert [line.split(":")[0] for line in listed[:50]] == [tested.paths[i] for i in changed[:50]]
    assert listed[50:] == ([f"and {len(changed) - 50} more"] if len(changed) > 50 else [])
    assert browser.text(empty) == "none"


def test_the_cheapest_threshold_follows_the_prices(browser, thresholds, tested):
    scores, values = np.float32(thresholds.values["scores"]), thresholds.values
    grid = np.arange(values["first"], values["last"] + 1) * 10.0 ** values["exponent"]
    for miss, alarm, per_thousand in ((10, 1, 500), (1, 10, 20)):
        for field, value in (
            *(("price-miss", miss), ("price-alarm", alarm)),
            ("per-thousand", per_thousand),
        ):
            enter(browser, field, value)
        missed = np.array([np.mean(scores[tested.is_anomaly] <= t) for t in grid])
        alarms = np.array([np.mean(scores[~tested.is_anomaly] > t) for t in grid])
        costs = per_thousand * miss * missed + (1000 - per_thousand) * alarm * alarms
        press(browser, "#use-cheapest")
        chosen = float(browser.text("#command").split()[-1])
        at = int(np.argmin(np.abs(grid - chosen)))
        assert costs[at] == pytest.approx(costs.min())
        assert f"Cheapest: {browser.text('#command').split()[-1]} " in browser.text("#cheapest")
    enter(browser, "price-miss", -1)
    assert "Enter prices of at least 0" in browser.text("#cheapest")
    assert not browser.find("#use-cheapest").is_enabled()
    enter(browser, "price-miss", 10)


def test_the_keyboard_moves_it_and_the_command_can_be_copied(browser, thresholds):
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    move(browser, thresholds.values["last"])
    press(browser, "#reset")
    slider = browser.find("#slider")
    before = int(slider.get_attribute("value"))
    slider.send_keys(keys.ARROW_RIGHT, keys.ARROW_RIGHT, keys.ARROW_LEFT)
    step = 10.0 ** thresholds.values["exponent"]
    told = float(browser.text("#command").split()[-1])
    assert told == pytest.approx((before + 1) * step, abs=step / 1000)
    assert slider.get_attribute("aria-valuetext") == browser.text("#command").split()[-1]
    press(browser, "#copy")
    browser.wait("return document.getElementById('copied').textContent")
    assert re.match("copied|selected", browser.text("#copied"))


def test_every_field_has_a_name_and_nothing_was_reported(browser):
    script = """return [...document.querySelectorAll("input, button")].map((one) =>
        one.getAttribute("aria-label") || one.labels?.[0]?.textContent.trim() || one.textContent)"""
    assert all(browser.browser.execute_script(script))
    assert not [entry for entry in browser.browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_without_scripts_the_table_is_open_and_the_controls_are_hidden(browser, thresholds):
    browser.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.browser.refresh()
    try:
        assert not browser.find("#controls").is_displayed()
        assert browser.find("#some-thresholds tbody").is_displayed()
        assert "The slider needs JavaScript" in browser.text("#choose")
    finally:
        browser.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        browser.browser.refresh()
