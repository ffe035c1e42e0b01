"""The parts of a folder that has grown since an earlier run."""

from collections.abc import Mapping, Sequence

from ganad_tf.data.account import SplitEntry


def enlarged_parts(
    earlier: Sequence[SplitEntry],
    drawn: Mapping[str, str],
    equal: Sequence[Sequence[str]],
) -> dict[str, str]:
    """The parts of all images that are there now: path -> part.

    Images of the earlier run keep their part, so that none that it was trained on is tested. New
    ones get the part that was drawn for them now, or that of an equal image of the earlier run.

    Args:
        earlier: of the earlier run. Images that it did not use count as new.
        drawn: path -> part that was drawn now, of all images.
        equal: groups of paths of images with equal pixels.
    """
    parts = {entry.path: entry.part for entry in earlier if entry.part != "unused"}
    for group in equal:
        known = [parts[path] for path in group if path in parts]
        parts.update({path: known[0] for path in group if known and path not in parts})
    return {path: parts.get(path, part) for path, part in drawn.items()}
