"""What is known about the files of a data folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SplitEntry:
    """The line of one image in a split file.

    Args:
        path: of the image, relative to the data folder, with slashes.
        kind: the name of its kind, as in `ganad_tf.data.folder.listing`.
        is_anomaly: its label.
        part: `train`, `validation`, `test` or `unused`.
        masks: paths of its masks, relative to the data folder; None if the file does not say it,
            which means all that are found.
    """

    path: str
    kind: str
    is_anomaly: bool
    part: str
    masks: tuple[str, ...] | None = None


@dataclass(frozen=True)
class BadFile:
    """A file that cannot be used.

    Args:
        path: relative to the data folder, with slashes.
        reason: `expected ... Received: ...`.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class NearDuplicate:
    """An image that seems to be a copy of one in another part.

    Args:
        path: of the image, in the test or validation part.
        original: the image of the training or validation part that it is nearly equal to.
        difference: mean absolute difference of their pixels, in grey levels of 255.
    """

    path: str
    original: str
    difference: float


@dataclass(frozen=True)
class FolderAccount:
    """How the files of a data folder were used.

    Args:
        root: the data folder.
        layout: a name in `ganad_tf.data.folder.layouts.LAYOUTS`.
        entries: every usable image with its part, in the order of paths, including unused ones.
        bad: files that cannot be used and were left out, with the reason.
        duplicates: groups of paths whose images have equal pixels.
        near_duplicates: images that are nearly equal to one in another part.
        notes: sentences about the data that the user should know.
        uses: lines that say how every file and folder is used, or why it is not.
    """

    root: Path
    layout: str
    entries: tuple[SplitEntry, ...]
    bad: tuple[BadFile, ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    near_duplicates: tuple[NearDuplicate, ...] = ()
    notes: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()

    @property
    def unused(self) -> tuple[SplitEntry, ...]:
        """Usable images that are in none of the three parts."""
        return tuple(entry for entry in self.entries if entry.part == "unused")
