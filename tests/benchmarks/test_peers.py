"""The benchmark beside PyTorch: the same work on both sides, and a guard that tells noise."""

import importlib.util
import json
import sys

import numpy as np
import pytest

from benchmarks.peers.__main__ import main
from benchmarks.peers.cells import BATCHES, CELLS, SCORE, chosen_cells
from benchmarks.peers.compare import compare
from benchmarks.peers.table import table_of
from benchmarks.peers.timing import Effort, ratio, take_turns
from ganad_tf.errors import ArtefactError, UsageError


def ratios(*values: float) -> dict[str, float]:
    return ratio(values, np.ones(len(values)))


def a_run(**cells) -> dict:
    """A kept file: name -> the rounds' ratios of one cell."""
    found = {name: {"ratios": {"ours / theirs": ratios(*r)}} for name, r in cells.items()}
    return {"cells": found, "threads": 2, "about": {"machine": "a"}}


STEADY = (1.99, 2.0, 2.0, 2.01)
RESTLESS = (1.6, 1.9, 2.1, 2.4)


def the_change(before, after):
    (change,), _ = compare(a_run(cell=before), a_run(cell=after))
    return change


def test_a_ratio_within_the_spread_of_its_rounds_has_not_moved():
    assert not the_change(RESTLESS, [0.85 * r for r in RESTLESS]).moved
    assert the_change(STEADY, [0.85 * r for r in STEADY]).is_worse


def test_a_few_per_cent_are_noise_however_steady_the_rounds_are():
    assert not the_change(STEADY, [0.97 * r for r in STEADY]).moved
    assert the_change(STEADY, [0.93 * r for r in STEADY]).is_worse


def test_a_faster_ratio_has_moved_and_is_not_worse():
    change = the_change(STEADY, [1.2 * r for r in STEADY])
    assert (change.moved, change.is_worse) == (True, False)


def test_shares_of_the_matrix_product_rate_are_guarded_too():
    kept, new = a_run(cell=STEADY), a_run(cell=STEADY)
    kept["cells"]["cell"]["share_of_gemm"] = ratios(0.7, 0.7, 0.71)
    new["cells"]["cell"]["share_of_gemm"] = ratios(0.6, 0.6, 0.61)
    assert [change.name for change in compare(kept, new)[0] if change.is_worse] == [
        "cell, share of matrix-product rate"
    ]


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs `python -m benchmarks.peers compare` on two runs; returns its exit code."""

    def run(kept, new) -> int:
        files = []
        for name, values in (("kept", kept), ("new", new)):
            files.append(tmp_path / f"{name}.json")
            files[-1].write_text(json.dumps(values))
        monkeypatch.setattr(sys, "argv", ["peers", "compare", *map(str, files)])
        return main()

    return run


def test_the_command_names_what_became_worse_and_exits_with_1(command, capsys):
    slower = [0.5 * r for r in STEADY]
    assert command(a_run(a=STEADY, b=STEADY), a_run(a=STEADY, b=slower)) == 1
    shown = capsys.readouterr().out
    assert "worse     b, ours / theirs: 2.00 -> 1.00" in shown
    assert "a, ours" not in shown


def test_the_command_exits_with_0_and_names_what_only_one_file_has(command, capsys):
    new = {**a_run(a=STEADY), "about": {"machine": "b"}}
    assert command(a_run(a=STEADY, b=STEADY), new) == 0
    shown = capsys.readouterr().out
    assert "in one file only: b, ours / theirs" in shown
    assert "machine: a and b" in shown


def test_another_file_is_refused(command):
    with pytest.raises(ArtefactError, match=r"kept\.json: expected a file of"):
        command({"about": {}}, a_run(a=STEADY))


def test_without_pytorch_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["peers"])
    with pytest.raises(UsageError, match="pip install torch"):
        main()


def test_cells_of_a_detector_follow_each_other():
    models = [cell.model for cell in CELLS]
    assert len({cell.name for cell in CELLS}) == len(CELLS)
    assert models == sorted(models, key=models.index)


def test_cells_are_chosen_by_pattern():
    chosen = chosen_cells(["score-none-32-grey-*"])
    assert [(cell.kind, cell.size, cell.batch) for cell in chosen] == [
        (SCORE, 32, batch) for batch in BATCHES
    ]
    with pytest.raises(UsageError, match=r"--cells must match some of .* Received: 'none'"):
        chosen_cells(["none"])


def test_every_round_gives_every_side_a_turn():
    called = []
    sides = {name: lambda name=name: called.append(name) for name in "ab"}
    times = take_turns(sides, Effort(rounds=2, seconds=0.0, pause=0.0))
    assert {name: len(values) for name, values in times.items()} == {"a": 2, "b": 2}
    assert called == [*"aabb", *"ab", *"ba"]


def test_the_table_says_what_is_not_measured():
    cell = {"ratios": {"float32 / PyTorch eager": ratios(1.5)}, "share_of_gemm": ratios(0.7)}
    table = table_of({"cells": {"score-none-32-grey-128": cell}})
    assert "| 32 px, grey | –, –, 1.50 | –, –, – | –, –, – |" in table
    assert "Share of the matrix-product rate, float32: 70% at 32 px, – at 128 px." in table
