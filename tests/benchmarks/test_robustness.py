"""Damaged files and odd folders, a few of those that `python -m benchmarks.robustness` tries."""

import time

import numpy as np
import pytest

from benchmarks.robustness import files, folders, kills
from benchmarks.robustness.watched import try_each

# They fork, and a fork of a process with TensorFlow's threads can stand still until its limit.
pytestmark = pytest.mark.slow


def tried(build, attempt, numbers, limit=5.0):
    cases = []
    try_each(build, attempt, numbers, cases.append, limit)
    return {case.number: case for case in cases}


@pytest.mark.parametrize(("module", "count"), [(files, 60), (folders, 15)])
def test_damage_is_answered_and_never_crashes(module, count):
    cases = tried(module.build, module.attempt, range(count))
    assert [(case.number, case.crash) for case in cases.values() if case.crash] == []
    assert all(case.answer.get("equal", True) for case in cases.values())
    assert len(cases) == count


def attempt(number):
    if number == 1:
        raise MemoryError
    while number == 2:
        pass
    if number == 3:
        time.sleep(100)
    return {"number": number}


def test_crashes_and_hangs_are_told_and_the_others_go_on():
    cases = tried(int, attempt, range(5), limit=0.2)
    assert "MemoryError" in cases[1].crash
    assert cases[2].crash == cases[3].crash == "no answer in time"
    assert cases[0].answer == {"number": 0}
    assert cases[4].answer == {"number": 4}


# Counts to ten in a file, and goes on with the number that is there.
COUNTING = """
import pathlib, sys, time
from ganad_tf.atomic_files import remove_unfinished, write_json
path = pathlib.Path(sys.argv[1], "config.json")
remove_unfinished(path.parent)
text = path.read_text().strip() if path.exists() else ""
number = int(text) if text.isdigit() else 0
while number < 10:
    if "in place" in sys.argv:
        path.parent.mkdir(exist_ok=True)
        path.write_text("[")  # half of a file
    number += 1
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    write_json(path, number)
"""


@pytest.mark.parametrize("how", ["whole", "in place"])
def test_a_killed_command_is_gone_on_with_and_half_a_file_is_told(tmp_path, how):
    folder = tmp_path / "run"
    arguments = ("-c", COUNTING, str(folder), how)
    seconds = kills._finish(arguments)
    command = kills.Command(folder, arguments, arguments, seconds, dict(kills._results(folder)))
    told = [kills._kill(command, np.random.default_rng(seed)) for seed in range(3)]
    killed = [kill for kill in told if kill["killed"]]
    assert killed  # though not always all: the time of a start varies
    assert all(kill["same"] for kill in told)
    assert all(kill["whole"] == (how == "whole") for kill in killed)
