"""How every file and folder of a data folder is used, or why it is not, on one screen."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence

from ganad_tf.data.account import BadFile
from ganad_tf.data.folder.file_names import HEIF_SUFFIXES
from ganad_tf.data.folder.listing import NOT_AN_IMAGE, NOT_READ, Listing, joined
from ganad_tf.wording import counted, few

# Of the lines that say what is used, and of those that say what is not.
_MAX_USED, _MAX_IGNORED = 14, 8
_MAX_FOLDERS = 3  # unused folders with images that get a sentence each
# Reasons that differ only in the suffix, and what stands for them together.
_TOGETHER = {NOT_AN_IMAGE: "not images", NOT_READ: "not read; save them as PNG or JPEG"}


def describe_use(
    listing: Listing, masks: Mapping[str, int], bad: Sequence[BadFile]
) -> tuple[str, ...]:
    """Lines that say how every file and folder is used, at most 24.

    Args:
        listing: of the folder.
        masks: folder -> number of its mask files that belong to an image in use.
        bad: files that cannot be used.
    """
    out_of_use = {file.path for file in bad}
    used: Counter[tuple[str, str, str]] = Counter()
    for image in listing.images:
        if image.path not in out_of_use:
            where = f", {image.official}" if image.official else ""
            kind = f", kind {image.kind}" if image.is_anomaly else ""
            one = "anomaly" if image.is_anomaly else "normal image"
            used[os.path.dirname(image.path), one, kind + where] += 1
    for folder, count in masks.items():
        used[folder, "mask", ""] += count
    lines = [*_used_lines(used), *_ignored_lines(listing)]
    if bad:
        lines.append(f"cannot be used: {few([file.path for file in bad])}")
    return tuple(lines)


def notes_on_unused(listing: Listing) -> list[str]:
    """Sentences on images that are not used although the user may want them to be."""
    unread: list[str] = []
    for (folder, reason), names in sorted(listing.ignored.items()):
        if reason.endswith(NOT_READ):
            unread += [f"{len(names)} files in {folder or '.'}/ are not used: {reason}"]
    if len(unread) > 1:
        unread = [line for line in _ignored_lines(listing) if _TOGETHER[NOT_READ] in line]
    if any(reason.startswith(HEIF_SUFFIXES) for _, reason in listing.ignored):
        unread.append("HEIC photos are read with pillow-heif (pip install pillow-heif)")
    # Those that a rename would help come first.
    folders = sorted(listing.notes, key=lambda note: "meant?" not in note)
    if len(folders) > _MAX_FOLDERS + 1:
        names = [note.split(" with ")[0] for note in folders[_MAX_FOLDERS:]]
        folders[_MAX_FOLDERS:] = [
            f"{len(names)} more folders with images are not used: {few(names)}"
        ]
    return unread + folders


def _used_lines(used: Counter[tuple[str, str, str]]) -> list[str]:
    """A line for each folder and use; folders are taken together until they are few."""
    deepest = max((folder.count("/") + 1 for folder, _, _ in used), default=1)
    lines: list[str] = []
    for depth in range(deepest, 0, -1):
        together: Counter[tuple[str, str, str]] = Counter()
        for (folder, one, which), count in used.items():
            together["/".join(folder.split("/")[:depth]), one, which] += count
        lines = [
            f"{folder or '.'}/: {counted(count, one)}{which}"
            for (folder, one, which), count in sorted(together.items())
        ]
        if len(lines) <= _MAX_USED:
            break
    return _at_most(_MAX_USED, lines, "more of such lines")


def _ignored_lines(listing: Listing) -> list[str]:
    """A line for each reason, the most frequent first."""
    paths: dict[str, list[str]] = {}
    for (folder, reason), names in listing.ignored.items():
        paths.setdefault(reason, []).extend(joined(folder, name) for name in names)
    for ending, text in _TOGETHER.items():
        alike = sorted(reason for reason in paths if reason.endswith(ending))
        if len(alike) > 1:
            suffixes = ", ".join(reason.removesuffix(ending).strip() for reason in alike)
            paths[f"{text} ({suffixes})"] = [path for one in alike for path in paths.pop(one)]
    ordered = sorted(paths.items(), key=lambda item: -len(item[1]))
    lines = [
        f"ignored, {reason}: {few(sorted(some, key=lambda path: (path.count('/'), path)))}"
        for reason, some in ordered
    ]
    return _at_most(_MAX_IGNORED, lines, "more reasons")


def _at_most(count: int, lines: list[str], others: str) -> list[str]:
    if len(lines) <= count:
        return lines
    return [*lines[: count - 1], f"and {len(lines) - count + 1} {others}"]
