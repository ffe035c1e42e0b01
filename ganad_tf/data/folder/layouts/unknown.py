"""The answer to a folder in no known layout: what is in it, and the nearest layout."""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from ganad_tf.data.folder.file_names import is_image_name, is_litter
from ganad_tf.data.folder.layouts.names import folders_in
from ganad_tf.data.folder.listing import count_images
from ganad_tf.data.folder.wording import few
from ganad_tf.errors import DataError

_MAX_NAMED = 8


def no_layout(root: Path, examples: Mapping[str, str]) -> DataError:
    """The error.

    Args:
        root: the folder.
        examples: layout -> its folders.
    """
    inner = [
        name
        for name in folders_in(root)
        if any(_names_of(example) & set(_tree(root / name)) for example in examples.values())
    ]
    if inner:
        advice = f"name one of the folders in it, such as {root / inner[0]}"
    else:
        name = _nearest(root, examples)
        advice = f"the nearest is {examples[name]} ({name})"
    known = "; ".join(f"{example} ({name})" for name, example in examples.items())
    return DataError(
        f"{root}: expected images in a known layout: {known}; {advice}. Received: {_held(root)}"
    )


def _names_of(example: str) -> set[str]:
    """The first folders of a layout: {`train/good`, `test/good`}, or {`normal`}."""
    found = re.findall(r"([\w/]+)/", example)
    return {name for name in found if name not in ("train", "test", "anomaly")}


def _tree(root: Path) -> list[str]:
    """Folders in a folder, two levels deep."""
    first = folders_in(root)
    return [*first, *(f"{name}/{below}" for name in first for below in folders_in(root / name))]


def _nearest(root: Path, examples: Mapping[str, str]) -> str:
    found = [name.lower() for name in _tree(root)]

    def likeness(name: str) -> float:
        wanted = re.findall(r"([\w/]+)/", examples[name])
        scores = [
            max((difflib.SequenceMatcher(None, one.lower(), f).ratio() for f in found), default=0)
            for one in wanted
        ]
        return sum(scores) / len(scores) if scores else 0.0

    return max(examples, key=likeness)


def _held(root: Path) -> str:
    """What is in a folder, two levels deep."""
    parts = [_described(root / name, name) for name in folders_in(root)]
    loose = sum(is_image_name(name) for name in os.listdir(root))
    if loose:
        parts.append(f"{loose} images")
    others = [
        n for n in sorted(os.listdir(root)) if not is_litter(n) and not os.path.isdir(root / n)
    ]
    parts += [name for name in others if not is_image_name(name)]
    return few(parts, _MAX_NAMED) or "an empty folder"


def _described(folder: Path, name: str) -> str:
    below = [f"{inner}/ ({count_images(folder / inner)} images)" for inner in folders_in(folder)]
    if below:
        return f"{name}/ with {few(below, _MAX_NAMED)}"
    if not os.access(folder, os.R_OK | os.X_OK):
        return f"{name}/ (which cannot be read)"
    return f"{name}/ ({count_images(folder)} images)"
