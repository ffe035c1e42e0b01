"""Batch scoring at full size: `python -m benchmarks.batch RUN`.

100,000 PNG files with `export.batch` on 2 workers: the scores of runtime.py, the speed beside one
session in a plain loop, the workers' memory, and a job that is killed half-way and resumed.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet

from benchmarks.deployment import RUNTIME, resident_mib, test_images, write_images
from benchmarks.results_file import save
from ganad_tf.errors import run_cli

WORKERS = 2


def loop(model: Path, place: Path, threads: int) -> tuple[dict[str, dict], float]:
    """Scores the folder with runtime.py; returns its rows by name, and seconds."""
    command = [sys.executable, str(RUNTIME), str(model), "images", "--csv", "scores.csv"]
    began = time.perf_counter()
    subprocess.run([*command, "--threads", str(threads), "--quiet"], cwd=place, check=True)
    seconds = time.perf_counter() - began
    with (place / "scores.csv").open(newline="") as file:
        return {Path(row["path"]).name: row for row in csv.DictReader(file)}, seconds


def start(model: Path, place: Path, output: str) -> subprocess.Popen:
    """Starts the batch job in a process of its own."""
    command = [sys.executable, "-m", "export.batch", str(model), str(place / "images")]
    return subprocess.Popen(
        [*command, "--output", str(place / output), "--workers", str(WORKERS), "--quiet"],
        cwd=RUNTIME.parents[1],
    )


def _parts(place: Path, output: str) -> dict[str, int]:
    """When each shard's file was written, in nanoseconds."""
    return {path.name: path.stat().st_mtime_ns for path in (place / output).glob("part-*")}


def steady_speed(place: Path, output: str) -> float:
    """Images/s between the first and the last shard: without the start of Ray and its workers."""
    parts = sorted(_parts(place, output).items(), key=lambda part: part[1])
    # Each worker ends its first shard at about the same time.
    timed = parts[WORKERS:]
    rows = sum(parquet.read_metadata(place / output / name).num_rows for name, _ in timed)
    return rows / (timed[-1][1] - parts[WORKERS - 1][1]) * 1e9


def watch(process: subprocess.Popen) -> list[dict[int, float]]:
    """Samples the resident memory in MiB of each of the job's worker processes until it ends."""
    samples = []
    while process.poll() is None:
        samples.append({pid: resident_mib(pid) for pid in _workers(process.pid)})
        time.sleep(0.2)
    return [sample for sample in samples if sample]


def _workers(root: int) -> list[int]:
    """Descendants of a process that are actors of Ray Data."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The name in brackets may hold spaces; the parent is the second field after it.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            title = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
        if title.startswith(b"ray::MapWorker"):
            found.append(int(folder.name))

    def below(pid: int) -> bool:
        while pid in parents and pid != root:
            pid = parents[pid]
        return pid == root

    return [pid for pid in found if below(pid)]


def kill_and_resume(model: Path, place: Path) -> dict:
    """Kills a job with SIGKILL when half of its shards are there, and runs it again."""
    process = start(model, place, "killed")
    shards = len(_parts(place, "whole"))
    while len(_parts(place, "killed")) < shards // 2 and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    time.sleep(2)  # its workers end with it
    before = _parts(place, "killed")
    again = start(model, place, "killed")
    exit_code = again.wait()
    after = _parts(place, "killed")
    return {
        "exit_code": exit_code,
        "shards": len(after),
        "shards_before_the_kill": len(before),
        "shards_kept": sum(after[name] == when for name, when in before.items()),
    }


def compare(place: Path, output: str, expected: dict[str, dict]) -> dict:
    """Holds the job's rows against runtime.py's."""
    table = parquet.read_table(place / output)
    names = table["source"].to_pylist()
    scores = table["score"].to_numpy()
    theirs = np.array([float(expected[name]["score"]) for name in names], np.float32)
    decisions = [expected[name]["is_anomaly"] == "True" for name in names]
    return {
        "rows": len(names),
        "missing_rows": len(set(expected) - set(names)),
        "doubled_rows": len(names) - len(set(names)),
        "unequal_scores": int((scores != theirs).sum()),
        "greatest_score_difference": float(np.abs(scores - theirs).max()),
        "other_decisions": int(
            (table["is_anomaly"].to_numpy(zero_copy_only=False) != decisions).sum()
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a finished run with its model.onnx")
    parser.add_argument("--count", type=int, default=100_000, help="images in the folder")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--idx-dir", type=Path)
    flags = parser.parse_args()
    model = flags.run.resolve() / "model.onnx"
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_images(test_images(flags), place / "images", flags.count)
        expected, loop_seconds = loop(model, place, 1)
        _, threads_seconds = loop(model, place, WORKERS)
        began = time.perf_counter()
        process = start(model, place, "whole")
        samples = watch(process)
        seconds = time.perf_counter() - began
        whole = {"exit_code": process.returncode, **compare(place, "whole", expected)}
        steady = steady_speed(place, "whole")
        resumed = kill_and_resume(model, place)
        resumed.update(compare(place, "killed", expected))
    quarter = max(1, len(samples) // 4)
    results = {
        "images": flags.count,
        "workers": WORKERS,
        "loop_images_per_second": flags.count / loop_seconds,
        "seconds": seconds,
        "images_per_second": flags.count / seconds,
        "threads_images_per_second": flags.count / threads_seconds,
        "images_per_second_steady": steady,
        "whole": whole,
        "resumed": resumed,
        "resident_mib_first_quarter": max(max(s.values()) for s in samples[:quarter]),
        "resident_mib_last_quarter": max(max(s.values()) for s in samples[-quarter:]),
    }
    print(json.dumps(results, indent=2))
    print("kept in", save("batch", results))


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
