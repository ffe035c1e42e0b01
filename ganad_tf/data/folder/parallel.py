"""Work on many files, on all cores."""

import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from ganad_tf.data.image_files.decoding import describe

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def digest_files(root: Path, paths: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Computes the sha256 of files.

    Args:
        root: the data folder.
        paths: of the files, relative to it.

    Returns:
        path -> sha256 of the content, for files that can be read, and path -> reason for others.
    """

    def digest(path: str) -> tuple[str, str]:
        try:
            with open(root / path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest(), ""
        except OSError as error:
            return "", describe(error)

    results = dict(zip(paths, in_threads(digest, paths, "reading"), strict=True))
    return (
        {path: value for path, (value, _) in results.items() if value},
        {path: reason for path, (_, reason) in results.items() if reason},
    )


def in_threads(
    work: Callable[[_Item], _Result], items: Iterable[_Item], title: str
) -> Iterator[_Result]:
    """Applies `work` to items in parallel, on all cores, and yields the results in order.

    It shows progress on a terminal, and works at most 16 items per core ahead.
    """
    workers = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    todo = list(items)
    rest = iter(todo)
    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(todo), desc=title, unit=" files", disable=None, delay=1) as progress,
    ):
        while chunk := list(itertools.islice(rest, 16 * workers)):
            for result in pool.map(work, chunk):
                yield result
                progress.update()
