"""The output folder of `export.batch`, and why no row in it is lost or doubled.

A job's rows are divided into numbered shards before the first is scored. `_plan.jsonl` says which
rows each holds, `_manifest.json` from which model, source and settings. A shard's file takes its
name, part-00000.parquet, only when it is whole. So a shard is either there or not, whenever a job
dies, and a second call scores those that are not. `_summary.json` is written last.

Names that begin with an underscore or a dot are skipped by what reads folders of Parquet.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganad_tf.atomic_files import read_json, remove_unfinished, replace_file, write_json
from ganad_tf.errors import ArtefactError, UsageError
from ganad_tf.folder_lock import LOCK

from .sources import Source

MANIFEST, PLAN, SUMMARY = "_manifest.json", "_plan.jsonl", "_summary.json"
# Settings that jobs of earlier versions do not name, as they were then.
NEW_SETTINGS = {"regions": False}
OURS = re.compile(r"part-\d+\.parquet|_manifest\.json|_plan\.jsonl|_summary\.json|\.writing-.*")


@dataclass(frozen=True)
class Task:
    """One shard: its number, where its line begins in the plan, and its rows."""

    shard: int
    offset: int
    rows: int


def part_name(shard: int) -> str:
    return f"part-{shard:05d}.parquet"


def hash_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_job(folder: Path, source: Source, settings: dict[str, Any], overwrite: bool) -> dict:
    """Starts a job in `folder`, or goes on with the one there if it is the same.

    Args:
        folder: locked by this process.
        source: where the rows come from.
        settings: whatever else decides what the rows will be, `shard_size` among it.
        overwrite: replace another job.

    Returns:
        The manifest.

    Raises:
        UsageError: if the folder holds another job, or files that are none of a job's.
    """
    names = [entry.name for entry in os.scandir(folder) if entry.name != LOCK]
    foreign = sorted(name for name in names if not OURS.fullmatch(name))
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise UsageError(
            "--output must be a new or empty folder, or one of an earlier job. "
            f"Received: {folder} with {foreign[0]}{more}"
        )
    shards = sorted(name for name in names if name.startswith("part-"))
    if shards and MANIFEST not in names and not overwrite:
        raise UsageError(
            "--output must be a new or empty folder, or one of an earlier job (--overwrite "
            f"replaces results). Received: {folder} with {shards[0]}, and no {MANIFEST}"
        )
    remove_unfinished(folder)
    with replace_file(folder / PLAN) as temporary:
        with temporary.open("w", encoding="ascii") as file:
            planned = source.plan(settings["shard_size"], file)
        manifest = {"format": 1, **settings, "source": {"path": source.root, **planned}}
        if MANIFEST in names and not overwrite:
            _check_same(folder, read_json(folder / MANIFEST), manifest)
        else:
            # The manifest goes first: whatever a kill leaves then belongs to no job.
            for name in sorted(names):
                if not name.startswith(".writing-"):
                    (folder / name).unlink()
    (folder / SUMMARY).unlink(missing_ok=True)
    write_json(folder / MANIFEST, manifest)
    return manifest


def _check_same(folder: Path, before: dict, now: dict) -> None:
    for key in now:
        was: Any = before.get(key, NEW_SETTINGS.get(key))
        here: Any = now[key]
        if key == "source":
            # The same files elsewhere are the same rows.
            if {**was, "path": None} == {**here, "path": None}:
                continue
            was, here = map(_describe_source, (was, here))
        if was != here:
            raise UsageError(
                f"{folder}: expected the job begun there, with {key} {was} (--overwrite starts "
                f"anew). Received: {here}"
            )


def _describe_source(source: dict) -> str:
    column = f", column {source['column']}" if source["column"] else ""
    return f"{source['path']} ({source['rows']:,} rows{column}, digest {source['digest'][:8]})"


def earlier_shift(folder: Path) -> str:
    """What the summary of a finished job says of its images; empty if it says nothing."""
    if not (folder / SUMMARY).is_file():
        return ""
    return read_json(folder / SUMMARY).get("input_shift") or ""


def open_tasks(folder: Path) -> list[Task]:
    """The shards that are still to be scored."""
    tasks, offset = [], 0
    with (folder / PLAN).open("rb") as file:
        for shard, line in enumerate(file):
            rows = sum(count for _, _, count in json.loads(line))
            if count_part(folder, shard)["rows"] != rows:
                tasks.append(Task(shard, offset, rows))
            offset += len(line)
    return tasks


def read_pieces(folder: str, offset: int) -> list:
    """One shard's line of the plan."""
    with open(os.path.join(folder, PLAN), "rb") as file:
        file.seek(offset)
        return json.loads(file.readline())


def count_part(folder: Path, shard: int) -> dict[str, int]:
    """`rows`, `errors` and `anomalies` of a shard's file; no rows if it is missing or damaged."""
    import pyarrow
    import pyarrow.parquet as parquet

    path = folder / part_name(shard)
    counts = {"rows": 0, "errors": 0, "anomalies": 0}
    if not path.is_file():
        return counts
    try:
        # One column of bits: null where there is an error.
        column = parquet.read_table(path, columns=["is_anomaly"])["is_anomaly"]
    except (pyarrow.ArrowException, OSError):
        return counts  # as after a power failure; it is scored again
    counts["rows"], counts["errors"] = len(column), column.null_count
    counts["anomalies"] = pyarrow.compute.sum(column).as_py() or 0
    return counts


def finish(folder: Path, manifest: dict, threshold: float, shift: str) -> dict[str, Any]:
    """Counts every row in the folder, and writes the summary.

    Args:
        folder: of the job.
        manifest: from `open_job`.
        threshold: that decided.
        shift: how the images differ from training's; empty if they do not.

    Raises:
        ArtefactError: if they are not as many as were planned.
    """
    totals = {"rows": 0, "errors": 0, "anomalies": 0}
    for shard in range(manifest["source"]["shards"]):
        for name, count in count_part(folder, shard).items():
            totals[name] += count
    if totals["rows"] != manifest["source"]["rows"]:
        raise ArtefactError(
            f"{folder}: expected {manifest['source']['rows']:,} rows (the same command goes on). "
            f"Received: {totals['rows']:,}"
        )
    shards = manifest["source"]["shards"]
    summary = {**totals, "shards": shards, "threshold": threshold, "input_shift": shift or None}
    write_json(folder / SUMMARY, summary)
    return summary
