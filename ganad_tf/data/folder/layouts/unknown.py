"""The answer to a folder in no known layout: what is in it, and the nearest layout."""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from ganad_tf.data.folder.file_names import is_image_name, is_litter
from ganad_tf.data.folder.layouts.names import folders_in, has_role, misspelt_role
from ganad_tf.data.folder.listing import count_images
from ganad_tf.errors import DataError
from ganad_tf.wording import counted, few

_MAX_NAMED = 8


def no_layout(root: Path, examples: Mapping[str, str]) -> DataError:
    """The error.

    Args:
        root: the folder.
        examples: layout -> its folders.
    """
    known = "".join(f"\n  {example} ({name})" for name, example in examples.items())
    return DataError(
        f"{root}: expected images in a known layout; {_advice(root, examples)}. "
        f"Received: {_held(root)}\nknown layouts:{known}"
    )


def _advice(root: Path, examples: Mapping[str, str]) -> str:
    """The change that most likely gives the folder a layout."""
    folders = folders_in(root)
    if _loose_images(root) and any(has_role(root.name, role) for role in ("normal", "anomaly")):
        return f"name the folder that it lies in, {root.parent}"
    for name in folders:
        if any(_own_folders(example) & set(_tree(root / name)) for example in examples.values()):
            return f"name one of the folders in it, such as {root / name}"
    for name in folders:
        if role := misspelt_role(name):
            return f"rename {root / name}/ to {role}/, if that was meant"
    if _loose_images(root):
        return f"move the normal images into {root / 'normal'}/"
    nearest = _nearest(root, examples)
    return f"the nearest is {examples[nearest]} ({nearest})"


def _folders(example: str) -> list[str]:
    """The folders that an example names: [`train/good`, `test/good`, `test`]."""
    return re.findall(r"([\w/]+)/", re.sub(r"\b[A-Z]+/", "", example))


def _own_folders(example: str) -> set[str]:
    """Those that tell a layout from others: {`train/good`, `test/good`}, or {`normal`}."""
    return {name for name in _folders(example) if name not in ("train", "test", "anomaly")}


def _tree(root: Path) -> list[str]:
    """Folders in a folder, two levels deep."""
    first = folders_in(root)
    return [*first, *(f"{name}/{below}" for name in first for below in folders_in(root / name))]


def _nearest(root: Path, examples: Mapping[str, str]) -> str:
    found = [name.lower() for name in _tree(root)]

    def likeness(name: str) -> float:
        wanted = _folders(examples[name])
        scores = [
            max((difflib.SequenceMatcher(None, one.lower(), f).ratio() for f in found), default=0)
            for one in wanted
        ]
        return sum(scores) / len(scores) if scores else 0.0

    return max(examples, key=likeness)


def _held(root: Path) -> str:
    """What is in a folder, two levels deep."""
    parts = [_described(root / name, name) for name in folders_in(root)]
    loose = _loose_images(root)
    if loose:
        parts.append(counted(loose, "image"))
    others = [
        n for n in sorted(os.listdir(root)) if not is_litter(n) and not os.path.isdir(root / n)
    ]
    parts += [name for name in others if not is_image_name(name)]
    return few(parts, _MAX_NAMED) or "an empty folder"


def _described(folder: Path, name: str) -> str:
    below = [f"{inner}/ ({_images_in(folder / inner)})" for inner in folders_in(folder)]
    if below:
        return f"{name}/ with {few(below, _MAX_NAMED)}"
    if not os.access(folder, os.R_OK | os.X_OK):
        return f"{name}/ (which cannot be read)"
    return f"{name}/ ({_images_in(folder)})"


def _loose_images(root: Path) -> int:
    """How many images lie in the folder itself."""
    return sum(is_image_name(name) for name in os.listdir(root))


def _images_in(folder: Path) -> str:
    return counted(count_images(folder), "image")
