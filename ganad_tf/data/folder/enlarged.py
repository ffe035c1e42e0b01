"""The split of a folder that has grown since an earlier run."""

import dataclasses
from collections.abc import Sequence

from ganad_tf.data.folder.split_file import SplitEntry


def enlarged_split(
    earlier: Sequence[SplitEntry],
    now: Sequence[SplitEntry],
    equal: Sequence[Sequence[str]],
) -> list[SplitEntry]:
    """The parts of all images that are there now.

    Images of the earlier run keep their part, so that none that it was trained on is tested. New
    ones get the part that was drawn for them now, or that of an equal image of the earlier run.

    Args:
        earlier: of the earlier run. Images that it did not use count as new.
        now: all images, with new parts.
        equal: groups of paths of images with equal pixels.
    """
    parts = {entry.path: entry.part for entry in earlier if entry.part != "unused"}
    for group in equal:
        known = [parts[path] for path in group if path in parts]
        parts.update({path: known[0] for path in group if known and path not in parts})
    return [dataclasses.replace(entry, part=parts.get(entry.path, entry.part)) for entry in now]
