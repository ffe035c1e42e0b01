"""Damaged files through the two readers: that of training and that of export/runtime.py."""

import shutil
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.robustness.damaged_files import damaged_file
from export import runtime
from ganad_tf.data.folder.cache import Reading, decode_files

SHAPE = (32, 32, 3)


@dataclass(frozen=True)
class DamagedFile:
    """A file, the name of its damage, and how it is brought to a square."""

    path: Path
    damage: str
    resize: str


def build(number: int, seed: int = 0) -> DamagedFile:
    """Writes one damaged file."""
    rng = np.random.default_rng([seed, number])
    damage, data, suffix = damaged_file(rng)
    path = Path(f"file{suffix}")
    path.write_bytes(data)
    return DamagedFile(path, damage, str(rng.choice(["stretch", "pad"])))


def attempt(file: DamagedFile) -> dict[str, Any]:
    """Reads a damaged file with both readers.

    Returns:
        `damage`; `training` and `runtime`, which say `read` or the reason for the refusal; `equal`
        if both read the same pixels; `warnings`, types of Python warnings that reached the user.
    """
    path, resize = file.path, file.resize
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kept = decode_files({"file": path}, Reading(SHAPE[0], SHAPE[2], resize, 16), Path("kept"))
        try:
            with runtime.open_image(str(path)) as image:
                theirs = runtime.prepare(image, SHAPE, resize)
            reason = ""
        except Exception as error:  # as `Scorer.score_files` does
            theirs, reason = None, runtime.describe(error)
    path.unlink()
    ours, why = (None, kept.reasons[0]) if kept.reasons else (np.array(kept.images[0]), "")
    shutil.rmtree("kept")
    both = ours is not None and theirs is not None
    return {
        "damage": file.damage,
        "training": why or "read",
        "runtime": reason or "read",
        "equal": bool(np.array_equal(ours, theirs)) if both else ours is theirs,
        "warnings": sorted({one.category.__name__ for one in caught}),
    }


def summary(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts by damage; both readers must agree."""
    counts: dict[str, Counter[str]] = {}
    for answer in answers:
        one = counts.setdefault(answer["damage"], Counter())
        one["files"] += 1
        one["read"] += answer["training"] == "read"
        one["read differently"] += not answer["equal"]
        one["refused for other reasons"] += answer["training"] != answer["runtime"]
    return {name: dict(count) for name, count in sorted(counts.items())}
