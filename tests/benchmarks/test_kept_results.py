"""Kept results are gone on with under the same settings only."""

import numpy as np
import pytest

from benchmarks import precision, real_defects, results_file
from benchmarks.robustness import __main__ as robustness
from benchmarks.robustness import kills
from ganad_tf.errors import UsageError


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    return tmp_path


def test_results_say_their_setting_or_have_the_usual_one():
    assert results_file.kept_with("new", "seed", 3, 0) is None
    results_file.save("old", {"cases": 1})
    results_file.save("new", {"cases": 1, "seed": 3})
    assert results_file.kept_with("old", "seed", 0, 0)["cases"] == 1
    assert results_file.kept_with("new", "seed", 3, 0)["cases"] == 1
    with pytest.raises(UsageError, match=r"--seed must be 3, .*new\.json.* Received: 0"):
        results_file.kept_with("new", "seed", 0, 0)


def test_another_seed_or_length_is_not_taken_for_what_is_kept(monkeypatch):
    for name in ("robustness-files", "robustness-kills", "precision-mixed_float16"):
        results_file.save(name, {})
    with pytest.raises(UsageError, match="--seed must be 0"):
        robustness._fuzz("files", None, 10, seed=1, again=False)
    with pytest.raises(UsageError, match="--seed must be 0"):
        kills.run(None, seed=1, again=False)
    monkeypatch.setattr("sys.argv", ["precision", "--epochs", "10"])
    with pytest.raises(UsageError, match="--epochs must be 6"):
        precision.main()


def test_the_flags_are_those_of_the_training_that_counts(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(real_defects, "run_command", lambda *given: commands.append(given))
    for component, flags in (("max_error", []), ("encoder_patches", real_defects.BRIEF)):
        commands.clear()
        monkeypatch.setattr(real_defects, "components_of", lambda _, name=component: {name: 1.0})
        assert real_defects.train(tmp_path, tmp_path, real_defects.BRIEF)[0] == flags
        assert len(commands) == (1 if flags else 2)


def test_held_back_anomalies_are_not_tested():
    is_anomaly, kinds = np.arange(200) % 4 == 0, np.array(["mono", "poly"] * 100)
    pictures = real_defects.Pictures(None, np.arange(200).astype(str), kinds, is_anomaly)
    parts = real_defects.draw_labels(pictures, 11, 0, held_back=11)
    assert len(parts.labelled) == 11
    assert is_anomaly[parts.test].sum() == 50 - 11
    assert not set(parts.labelled) & set(parts.test)
