"""Scores that drift are noticed; streams without drift raise no alarm more often than promised."""

import json
import math

import numpy as np
import onnx
import pytest
from PIL import Image

from export import onnx_model
from export.runtime import (
    LIMIT,
    SCORE_TAILS,
    STATISTIC_TAILS,
    DriftTest,
    InputShift,
    Monitor,
    MonitorFile,
    Scorer,
    ScoringError,
    SettingError,
    describe_changes,
    find_changes,
    main,
)


class Recording(DriftTest):
    """Keeps the p-values."""

    def _p_value(self, group, smoothing):
        p = super()._p_value(group, smoothing)
        self.__dict__.setdefault("p_values", []).append(p)
        return p


def watched(known, scores, **kwargs):
    monitor = Monitor(known, **kwargs)
    for score in scores:
        monitor.add(float(score))
    return monitor


def p_values(known, values, tails):
    test = Recording(known.tolist(), tails, 0.05, "seed")
    for value in values.tolist():
        test.add(value)
    return test.p_values


@pytest.mark.parametrize("tails", [SCORE_TAILS, STATISTIC_TAILS])
def test_p_values_are_independent_although_they_share_a_few_known_values(rng, tails):
    """Against a fixed set of 20 values, the means of 50 p-values would spread 1.9 times as far."""
    streams = [p_values(rng.normal(size=20), rng.normal(size=50), tails) for _ in range(300)]
    means = np.array([np.mean(p) for p in streams])
    expected = np.sqrt(np.mean([1 / (12 * len(p)) for p in streams]))
    assert means.std() == pytest.approx(expected, rel=0.15)
    first = np.sort([p[0] for p in streams])
    assert np.abs(first - np.linspace(0, 1, len(first))).max() < 1.63 / np.sqrt(len(first))


@pytest.mark.parametrize("draw", ["normal", "coins"])
def test_streams_without_drift_alarm_no_more_often_than_promised(rng, draw):
    """Of 120 streams, more than 5 alarm with a chance of 0.2 % if each does with 1 %."""
    alarms = 0
    for number in range(120):
        values = rng.integers(0, 3, 170) if draw == "coins" else rng.normal(size=170)
        monitor = watched(values[:20], values[20:], anomaly_share=0, seed=str(number))
        alarms += monitor.drift_at is not None
    assert alarms <= 5


def ranges_of_brightness(values):
    percentiles = np.percentile(values, np.arange(101)).tolist()
    return {
        "images": len(values),
        "percentiles": {"brightness": percentiles},
        "sample": {"brightness": values.tolist()},
    }


def test_a_statistic_alarms_if_it_drifts_by_enough_to_matter(rng):
    ranges = ranges_of_brightness(rng.normal(100, 1, 200))
    for shift, drifted in ((0, []), (2, []), (8, ["brightness"])):
        monitor = Monitor(rng.normal(size=50), ranges)
        for brightness in rng.normal(100 + shift, 1, 200).tolist():
            monitor.add(float(rng.normal()), [brightness])
        assert list(monitor.drift) == drifted
        if shift:  # however sure it is
            assert monitor.evidence("brightness") > LIMIT
    assert monitor.changes().startswith("brightness 108")
    assert monitor.evidence("score") == 0.5 * monitor.tests["score"].evidence


def test_statistics_that_are_not_known_are_passed_over(rng):
    monitor = Monitor(rng.normal(size=50), ranges_of_brightness(rng.normal(100, 1, 200)))
    monitor.add(0.0, [math.nan])
    assert (monitor.images, monitor.tests["brightness"].images) == (1, 0)
    without = Monitor(rng.normal(size=50), {"images": 60, "percentiles": {"size": [1.0] * 101}})
    assert list(without.tests) == ["score"]
    without.add(0.0, [1.0])
    assert without.evidence("score") == without.tests["score"].evidence


@pytest.mark.parametrize("shift", [1, -1])
@pytest.mark.parametrize("before", [0, 3000])
def test_a_drift_is_seen_at_once_and_after_a_long_time_without_one(rng, shift, before):
    scores = np.concatenate([rng.normal(size=before), rng.normal(size=150) + shift])
    monitor = watched(rng.normal(size=300), scores)
    assert before < monitor.drift["score"] <= before + 150
    assert monitor.evidence("score", highest=True) >= LIMIT


def test_anomalies_up_to_their_share_are_no_drift_and_more_are(rng):
    scores = rng.normal(size=3000)
    scores[rng.random(3000) < 0.05] = 9
    known = rng.normal(size=500)
    assert watched(known, scores).drift_at is None
    scores[rng.random(3000) < 0.15] = 9
    assert watched(known, scores).drift_at is not None
    assert watched(known, scores, anomaly_share=0.2).drift_at is None


def test_it_goes_on_from_its_state_as_if_never_stopped(rng):
    known, scores = rng.normal(size=50), rng.normal(size=300).tolist()
    first = watched(known, scores[:100])
    again = Monitor.from_dict(json.loads(json.dumps(first.to_dict())), known)
    for score in scores[100:]:
        first.add(score)
        again.add(score)
    assert again.to_dict() == first.to_dict()


def test_its_state_stays_small(rng):
    monitor = watched(rng.normal(size=5000), rng.normal(size=3000))
    assert len(json.dumps(monitor.to_dict())) < 2000


@pytest.mark.parametrize("known", [[0.0] * 19, [0.0] * 30 + [math.nan]])
def test_too_few_or_damaged_normal_scores_are_refused(known):
    with pytest.raises(ScoringError, match=r"at least 20 normal scores .*Received: (19|NaN)"):
        Monitor(known)


def test_what_changed_is_named_even_if_only_the_last_images_did():
    rng = np.random.default_rng(0)
    brightness = np.percentile(rng.normal(100, 10, 500), np.arange(101)).tolist()
    ranges = {"images": 500, "percentiles": {"hue": list(range(101)), "brightness": brightness}}
    rows = [[50.0, value] for value in rng.normal(100, 10, 200)]
    assert find_changes(ranges, rows) == []
    rows[-25:] = [[50.0, value] for value in rng.normal(115, 10, 25)]
    text = describe_changes(find_changes(ranges, rows))
    assert text.startswith("brightness 11")
    assert "hue" not in text
    assert find_changes(ranges, []) == []


@pytest.fixture(scope="module")
def folders(images, tmp_path_factory):
    """Normal images, and brighter ones."""
    place = tmp_path_factory.mktemp("stream")
    for name, gain in (("same", 1.0), ("bright", 1.15)):
        (place / name).mkdir()
        for number, image in enumerate(np.clip(images[::2] * gain, 0, 255).astype(np.uint8)):
            Image.fromarray(image[..., 0]).save(place / name / f"{number}.png")
    return place


@pytest.fixture
def call(model_path, tmp_path, capsys, monkeypatch):
    """Runs the command; returns the exit code and the last line on stderr."""
    # With another seed each time, one call in a hundred might alarm.
    monkeypatch.setattr("export.runtime.secrets.token_hex", lambda size: "seed")

    def run(*arguments, model=model_path):
        code = main([str(model), "--monitor", str(tmp_path / "state.json"), *map(str, arguments)])
        return code, capsys.readouterr().err.strip().splitlines()[-1]

    return run


def test_the_command_tells_health_and_names_what_changed(call, folders, tmp_path, model_path):
    code, line = call(folders / "same")
    assert code == 0
    assert line.startswith("monitor: no drift in 100 images (highest evidence: score ")
    code, line = call(folders / "bright")
    assert code == 3
    assert line.startswith("monitor: DRIFT of ")
    assert "brightness" in line.split(", seen at image 1")[0]
    assert " of 200 (highest evidence: score " in line
    assert "changed: brightness" in line
    assert f"ganad recalibrate {model_path} NORMALS --output NEW.onnx" in line
    # It stays so until a new file is begun.
    assert call(folders / "same" / "0.png")[0] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_an_image_that_cannot_be_scored_is_not_counted(call, folders, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    code, line = call(tmp_path / "bad.png", folders / "same" / "0.png")
    assert (code, line[:28]) == (1, "monitor: no drift in 1 image")


def test_a_run_that_is_stopped_leaves_the_state_as_it_was(
    call, folders, tmp_path, model_path, monkeypatch
):
    call(folders / "same")
    before = (tmp_path / "state.json").read_bytes()

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Monitor, "add", stop)
    assert call(folders / "same") == (130, "interrupted")
    assert (tmp_path / "state.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def changed(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    "values",
    [
        {"format": "other"},
        {"tests": None},
        {"tests": {}},
        {"drift": {"score": 1000}},
        {"recent": [[1, 2]]},
        {"seed": ""},
        {"anomaly_share": 5},
    ],
)
def test_a_damaged_state_is_refused_and_stays(call, folders, tmp_path, values):
    call(folders / "same")
    changed(tmp_path / "state.json", **values)
    content = (tmp_path / "state.json").read_bytes()
    code, line = call(folders / "same")
    assert code == 1
    assert "state.json: expected the state of a monitor, as --monitor writes it. Received" in line
    assert (tmp_path / "state.json").read_bytes() == content


@pytest.mark.parametrize(
    "values",
    [
        {"wealth": [1.0]},
        {"wealth": None},
        {"counts": [-1]},
        {"images": 7},
        {"highest": "much"},
        {"wealth": [math.nan] * 20},
    ],
)
def test_numbers_that_contradict_each_other_are_refused(rng, values):
    monitor = watched(rng.normal(size=50), rng.normal(size=10))
    kept = monitor.to_dict()
    kept["tests"]["score"].update(values)
    with pytest.raises((TypeError, ValueError)):
        Monitor.from_dict(kept, rng.normal(size=50))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": 3}'])
def test_another_file_is_refused_and_stays(call, folders, tmp_path, content):
    (tmp_path / "state.json").write_bytes(content)
    assert call(folders / "same")[0] == 1
    assert (tmp_path / "state.json").read_bytes() == content


def test_the_state_of_another_model_is_refused(call, folders, tmp_path, model_path):
    call(folders / "same")
    model = onnx.load(model_path)
    onnx_model.set_metadata(model, {"threshold": "0.123"})
    onnx.save(model, tmp_path / "other.onnx")
    code, line = call(folders / "same", model=tmp_path / "other.onnx")
    assert code == 2
    assert "or the state of this model. Received: " in line
    assert "of another model" in line


def test_two_monitors_on_one_state_are_refused(call, folders, tmp_path, model_path):
    scorer = Scorer(model_path)
    with MonitorFile(tmp_path / "state.json", scorer, None, InputShift(scorer.ranges)):
        code, line = call(folders / "same")
        assert code == 2
        assert "that no other process uses. Received: " in line
    assert call(folders / "same")[0] == 0


def test_a_share_of_anomalies_stays_that_of_the_beginning(call, folders):
    assert call(folders / "same", "--anomaly-share", 0.2)[0] == 0
    assert call(folders / "same")[0] == 0
    code, line = call(folders / "same", "--anomaly-share", 0.1)
    assert code == 2
    assert "was begun with, 0.2. Received: 0.1" in line


@pytest.mark.parametrize("name", ["no/state.json", "."])
def test_a_state_that_cannot_be_written_is_refused(model_path, folders, tmp_path, name):
    scorer = Scorer(model_path)
    with pytest.raises(SettingError, match="--monitor must be a file in a folder that exists"):
        MonitorFile(tmp_path / name, scorer, None, InputShift(scorer.ranges))


def test_a_model_with_few_normal_scores_is_refused_for_the_monitor_alone(
    call, folders, tmp_path, model_path, capsys
):
    model = onnx.load(model_path)
    onnx_model.set_metadata(model, {"normal_scores": "[0.1, 0.2]"})
    onnx.save(model, tmp_path / "few.onnx")
    assert main([str(tmp_path / "few.onnx"), str(folders / "same")]) == 0
    code, line = call(folders / "same", model=tmp_path / "few.onnx")
    assert code == 1
    assert "needs at least 20 normal scores in the model" in line
    assert not (tmp_path / "state.json").exists()


def test_a_share_without_a_monitor_is_refused(model_path, folders, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([str(model_path), str(folders / "same"), "--anomaly-share", "0.1"])
    assert stopped.value.code == 2
    assert "--anomaly-share needs --monitor" in capsys.readouterr().err
