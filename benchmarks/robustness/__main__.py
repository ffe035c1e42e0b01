"""Damaged files, damaged folders and kills, and what the product does about them.

    python -m benchmarks.robustness files      10,000 files through both readers
    python -m benchmarks.robustness folders    2,000 folders through the loader of training
    python -m benchmarks.robustness kills      killed trainings, exports and batch jobs, resumed

Each case follows from the seed and its number. A stopped command goes on where it was, and tries
cases again that crashed. Results are kept in benchmarks/results/robustness-*.json: counts, and each
case that went wrong.
"""

import argparse
import json
import sys
import time
from functools import partial
from typing import Any

from benchmarks.results_file import kept_with, save
from benchmarks.robustness import files, folders, kills
from benchmarks.robustness.watched import LIMIT_MIB, LIMIT_SECONDS, Case, try_each
from ganad_tf.errors import run_cli

FUZZED = {"files": (files, 10_000), "folders": (folders, 2_000)}
_KEPT_EVERY = 500


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.robustness",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("what", choices=[*FUZZED, "kills"])
    parser.add_argument("--count", type=int, help="cases in all (default: see above)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="N", help="try case N here and show its answer")
    parser.add_argument("--again", action="store_true", help="forget kept results")
    flags = parser.parse_args()
    if flags.what == "kills":
        return kills.run(flags.count, flags.seed, flags.again)
    module, usual = FUZZED[flags.what]
    if flags.only is not None:
        build = partial(module.build, seed=flags.seed)
        show = partial(print, sep="\n")
        try_each(build, module.attempt, [flags.only], lambda case: show(case, case.crash))
        return 0
    return _fuzz(flags.what, module, flags.count or usual, flags.seed, flags.again)


def _fuzz(what: str, module: Any, count: int, seed: int, again: bool) -> int:
    name = f"robustness-{what}"
    kept = {} if again else kept_with(name, "seed", seed, 0) or {}
    if kept.get("cases", 0) >= count:
        print(f"{name}.json is complete; --again tries anew")
        return 0
    cases = [Case(**case) for case in kept.get("so_far", ()) if not case["crash"]]
    todo = sorted(set(range(count)) - {case.number for case in cases})
    start = time.monotonic()

    def keep(case: Case) -> None:
        cases.append(case)
        if len(cases) % _KEPT_EVERY == 0:
            print(f"{len(cases):,} of {count:,}, {time.monotonic() - start:.0f} s", flush=True)
            save(name, {"seed": seed, "so_far": [vars(one) for one in cases]})

    try_each(partial(module.build, seed=seed), module.attempt, todo, keep)
    wrong = [case for case in cases if case.crash or case.answer.get("equal") is False]
    answers = [case.answer for case in cases if case.answer]
    peak = max(case.peak_mib for case in cases)
    slowest = max(cases, key=lambda case: case.seconds)
    result = {
        "seed": seed,
        "cases": len(cases),
        "crashed, hanging or read differently": len(wrong),
        "limit_seconds": LIMIT_SECONDS,
        "slowest_seconds": round(slowest.seconds, 3),
        "slowest": slowest.number,
        "limit_mib": LIMIT_MIB,
        "peak_mib": round(peak),
        "python_warnings": sorted({name for answer in answers for name in answer["warnings"]}),
        "summary": module.summary(answers),
        "wrong": [vars(case) for case in wrong],
    }
    print(json.dumps({**result, "wrong": [case.number for case in wrong]}, indent=2))
    print(f"kept in {save(name, result)}")
    return 1 if wrong or peak > LIMIT_MIB else 0


if __name__ == "__main__":
    sys.exit(run_cli(main))
