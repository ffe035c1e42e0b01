"""What is known about the files of a data folder."""

from dataclasses import dataclass
from pathlib import Path

from ganad_tf.data.folder.listing import BadFile
from ganad_tf.data.folder.near_duplicates import NearDuplicate
from ganad_tf.data.folder.split_file import SplitEntry


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
