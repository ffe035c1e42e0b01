"""Damaged folders through the loader of training."""

import io
import logging
import shutil
import warnings
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.robustness.odd_folders import make_folder, remove
from ganad_tf.console import log_to_console
from ganad_tf.data.folder.load import load_folder
from ganad_tf.data.folder.options import FolderOptions
from ganad_tf.data.folder.split_file import write_split
from ganad_tf.data.splits import Splits
from ganad_tf.errors import DataError, UsageError

MAX_LINES = 30  # one screen
ROOT, KEPT, SPLIT = Path("data"), Path("kept"), Path("split.csv")


@dataclass(frozen=True)
class OddFolder:
    """What is given as data, and how it is read."""

    data: Path
    options: FolderOptions


def build(number: int, seed: int = 0) -> OddFolder:
    """Makes one folder, where the last one was."""
    remove(ROOT)
    for left in (KEPT, Path("split_csv")):
        shutil.rmtree(left, ignore_errors=True)
    rng = np.random.default_rng([seed, number, 1])
    data = make_folder(ROOT, rng)
    options = FolderOptions(
        image_size=32 if rng.random() < 0.7 else None,
        seed=number,
        skip_bad=bool(rng.random() < 0.8),
        learn_anomalies=bool(rng.random() < 0.8),
    )
    return OddFolder(data, options)


def attempt(folder: OddFolder) -> dict[str, Any]:
    """Loads a folder; if that succeeds, again by the split file that a run would keep.

    Returns:
        `answer`: `loaded`, or the type of the error; `text`: of the error; `lines`: how many lines
        say what every file is used as; `warnings`, types of Python warnings that reached the user.
    """
    data, options = folder.data, folder.options
    # As a terminal takes it: strictly UTF-8.
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(out), redirect_stderr(out):
        warnings.simplefilter("always")
        logging.getLogger("ganad_tf").handlers.clear()
        log_to_console()
        try:
            splits = load_folder(data, options, KEPT)
        except (DataError, UsageError) as error:
            result = {"answer": type(error).__name__, "text": str(error)}
            is_explained = "Received: " in str(error)
        else:
            _check(splits)
            write_split(splits.folder.entries, SPLIT)
            again = load_folder(data, _with_split(options, splits, SPLIT), KEPT)
            assert again.fingerprint == splits.fingerprint, "its own split file: other fingerprint"
            assert again.folder.entries == splits.folder.entries
            result = {"answer": "loaded", "lines": len(splits.folder.uses)}
            is_explained = True
    assert is_explained, result
    return {**result, "warnings": sorted({one.category.__name__ for one in caught})}


def _check(splits: Splits) -> None:
    assert splits.folder is not None
    assert len(splits.folder.uses) <= MAX_LINES, "more than one screen of lines"
    for part in (splits.train, splits.validation, splits.test):
        assert len(part.images[:]) == len(part.is_anomaly)
        if part.masks is not None:
            assert all(part.masks[index] is not None for index in part.masks.measurable)
    splits.summary()


def _with_split(options: FolderOptions, splits: Splits, split_file: Path) -> FolderOptions:
    """As a resumed run reads its images: the settings that followed from them are kept."""
    size, _, channels = splits.image_shape
    return FolderOptions(
        image_size=size,
        channels=channels,
        bit_depth=splits.bit_depth,
        learn_anomalies=options.learn_anomalies,
        split_file=split_file,
        skip_bad=options.skip_bad,
    )


def summary(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """How often each answer was given."""
    counts = Counter(answer["answer"] for answer in answers)
    return {**dict(counts), "most lines": max((a.get("lines", 0) for a in answers), default=0)}
