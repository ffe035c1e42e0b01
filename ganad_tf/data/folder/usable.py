"""The usable images of a folder, and the fingerprint of their split."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganad_tf.data.account import BadFile, SplitEntry
from ganad_tf.data.folder.cache import DecodedImages
from ganad_tf.data.folder.listing import FoundImage
from ganad_tf.data.folder.masks import MatchedMasks
from ganad_tf.data.folder.parallel import digest_files
from ganad_tf.data.images import LabelledImages


@dataclass(frozen=True, eq=False)
class Usable:
    """The usable images of a folder, after all files have been read.

    Args:
        images: N images.
        digests: path -> sha256 of the content.
        decoded: the decoded contents.
        rows: int64 [N], the row of each image in `decoded`.
        masks: the masks of anomalies.
        image_size: S.
        bad: files that cannot be used.
    """

    images: list[FoundImage]
    digests: Mapping[str, str]
    decoded: DecodedImages
    rows: np.ndarray
    masks: MatchedMasks
    image_size: int
    bad: list[BadFile]

    @property
    def pixel_digests(self) -> np.ndarray:
        """str [N], equal for equal pixels."""
        return self.decoded.pixel_digests[self.rows]


def fingerprint(
    root: Path,
    usable: Usable,
    entries: Sequence[SplitEntry],
    data: LabelledImages,
    resize: str,
) -> str:
    """sha256 of the contents, kinds and parts of the images, and of the masks that are trained on.

    It must stay what it was in earlier versions, so that their runs can be resumed and exported.
    Hence the default of `resize` and the usual way to read a file are not part of it. Nor is that
    large JPEG files are decoded smaller than by earlier versions: a run that one of them began and
    this one resumes has other pixels under the same fingerprint.
    """
    changed = [resize] if resize != "stretch" else []
    # Files that earlier versions read otherwise; but for large JPEG files, the others are read as
    # before.
    parts = {entry.path: entry.part for entry in entries}
    used = [parts[image.path] != "unused" for image in usable.images]
    readings = {str(reading) for reading in usable.decoded.readings[usable.rows[used]] if reading}
    if readings:
        changed.append(f"{sorted(readings)} {usable.decoded.bit_depth}")
    sha256 = hashlib.sha256(repr((data.images.shape[1:], data.kind_names, *changed)).encode())
    for entry in entries:
        if entry.part != "unused":
            line = f"{usable.digests[entry.path]} {entry.kind} {entry.part}\n"
            sha256.update(line.encode(errors="surrogateescape"))
    # Masks of test images are left out: they only measure.
    masks = [
        (entry.path, mask)
        for entry in entries
        if entry.part == "train"
        for mask in usable.masks.of.get(entry.path, ())
    ]
    digests, _ = digest_files(root, [mask for _, mask in masks])
    for path, mask in masks:
        sha256.update(f"mask {usable.digests[path]} {digests.get(mask)}\n".encode())
    return sha256.hexdigest()
