"""Where `export.batch` reads images from, and how their rows are divided among shards.

A source is a folder (or one file) of images, of Parquet or of TFRecord. Its rows have one fixed
order: files sorted folder by folder, and the rows of a file as they stand there.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from ganad_tf.errors import DataError

from ..runtime import BATCH, NAMED_IMAGES, SUFFIXES, ScoringError, is_litter, is_scored
from .tfrecord import count_records, image_of, read_records

IMAGES, PARQUET, TFRECORD = "images", "parquet", "tfrecord"
# One file of a set is often called name.tfrecord-00003-of-00010.
TFRECORD_NAME = re.compile(r"\.(tfrecords?|tfrec)(-\d+-of-\d+)?$")
COLUMNS = ("image", "image/encoded")

# (file name, first row, number of rows)
Piece = tuple[str, int, int]


def kind_of(name: str) -> str | None:
    """What a file holds, by its name; None for files that are not scored."""
    name = name.lower()
    if name.endswith(NAMED_IMAGES):
        return IMAGES
    if name.endswith(".parquet"):
        return PARQUET
    return TFRECORD if TFRECORD_NAME.search(name) else None


def list_files(root: str, below: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Yields (name relative to `root`, status) of all files that get a row, sorted.

    Holds one folder's names at a time. The same images as `export.runtime.find_images` finds:
    hidden files and leftovers of systems are skipped, links to folders, which may lead in circles,
    are not followed and become rows with an error. Of Parquet and TFRecord, names that begin with
    an underscore are skipped, as all readers of such folders do.
    """
    with os.scandir(os.path.join(root, below)) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        name = os.path.join(below, entry.name)
        if is_litter(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from list_files(root, name)
        elif is_scored(entry) or (kind_of(entry.name) and not entry.name.startswith("_")):
            try:
                yield name, entry.stat()
            except OSError:  # a link to nowhere; opening it gives the error
                yield name, entry.stat(follow_symlinks=False)


class Source:
    """The rows below a path, and the plan that divides them.

    Args:
        path: a folder, read at any depth, or one file.
        column: the Parquet column or TFRecord feature that holds the encoded images. By default,
            the first of `image` and `image/encoded` that the first file has.

    Attributes:
        root: the absolute folder that names are relative to.
        kind: `images`, `parquet` or `tfrecord`; known once `plan` has run, as is `column`.

    Raises:
        DataError: if the path does not exist.
    """

    def __init__(self, path: Path, column: str | None = None):
        self.path, self.column = path, column
        self.kind: str | None = None
        if path.is_dir():
            self.root = str(path.resolve())
        elif path.is_file():
            self.root = str(path.parent.resolve())
        else:
            raise DataError(
                f"{path}: expected a folder, or a file of images, Parquet or TFRecord, that this "
                "machine sees. Received: no such file or folder"
            )

    def plan(self, shard_size: int, file: IO[str]) -> dict[str, Any]:
        """Writes one line of JSON for each shard, the list of its pieces, and nothing to memory.

        Args:
            shard_size: rows in each shard but the last.
            file: where the lines go.

        Returns:
            `kind`, `column`, `rows`, `shards` and `digest`, which depends on every file's name,
            size and time of change.

        Raises:
            DataError: if there is no image, there are several kinds of files, or a file is damaged
                or lacks the column.
        """
        digest, pieces, room, rows, shards = hashlib.sha256(), [], shard_size, 0, 0
        for name, status in self._files():
            digest.update(json.dumps([name, status.st_size, status.st_mtime_ns]).encode())
            start, count = 0, self._count(name)
            rows += count
            while start < count:
                taken = min(room, count - start)
                pieces.append((name, start, taken))
                start, room = start + taken, room - taken
                if not room:
                    file.write(json.dumps(pieces) + "\n")
                    pieces, room, shards = [], shard_size, shards + 1
        if pieces:
            file.write(json.dumps(pieces) + "\n")
            shards += 1
        if not rows:
            raise DataError(
                f"{self.path}: expected images ({' '.join(SUFFIXES)}), *.parquet or *.tfrecord. "
                f"Received: {'files without rows' if self.kind else 'none'}"
            )
        return {
            "kind": self.kind,
            "column": self.column,
            "rows": rows,
            "shards": shards,
            "digest": digest.hexdigest(),
        }

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        first = None
        single = not self.path.is_dir()
        for name, status in (
            [(self.path.name, self.path.stat())] if single else list_files(self.root)
        ):
            kind = kind_of(name)
            if kind is None and os.path.isdir(os.path.join(self.root, name)):
                kind = IMAGES  # a link to a folder, which becomes a row with an error
            if first is None:
                first, self.kind = name, kind
                if kind == IMAGES:
                    self.column = None
            if kind is None:
                raise DataError(
                    f"{self.path}: expected an image ({' '.join(SUFFIXES)}), *.parquet or "
                    "*.tfrecord. Received: another kind of file"
                )
            if kind != self.kind:
                raise DataError(
                    f"{self.path}: expected files of one kind (images, Parquet or TFRecord). "
                    f"Received: {first} and {name}"
                )
            yield name, status

    def _count(self, name: str) -> int:
        path = os.path.join(self.root, name)
        if self.kind == IMAGES:
            return 1
        if self.kind == PARQUET:
            return self._count_parquet(path)
        count = count_records(path)
        if count and self.column is None:
            self.column = _feature_of(path)
        return count

    def _count_parquet(self, path: str) -> int:
        with _open_parquet(path) as file:
            names = file.schema_arrow.names
            if self.column is None:
                self.column = next((name for name in COLUMNS if name in names), COLUMNS[0])
            _parquet_column(path, file.schema_arrow, self.column)
            return file.metadata.num_rows


def read_rows(
    root: str, kind: str, column: str | None, pieces: list[Piece]
) -> Iterator[tuple[str, str | bytes | Exception]]:
    """Yields (name of the row, image) for each row of a shard, a few images in memory at a time.

    The image is a file's path, encoded bytes, or an exception that says why there is none.
    """
    for name, start, count in pieces:
        path = os.path.join(root, name)
        if kind == IMAGES:
            yield name, path
            continue
        assert column is not None  # only images have none
        contents: Iterable[bytes | Exception]
        if kind == PARQUET:
            contents = _read_parquet(path, column, start, count)
        else:
            contents = (
                image_of(record, column) if isinstance(record, bytes) else record
                for record in read_records(path, start, count)
            )
        found = 0
        for content in contents:
            yield f"{name}#{start + found}", content
            found += 1
        if found != count:
            raise DataError(
                f"{path}: expected rows {start} to {start + count - 1}, as when the job was "
                f"planned. Received: only {found} of them"
            )


def _feature_of(path: str) -> str:
    """The feature that holds the images, judged by the file's first record."""
    record = next(read_records(path, 0, 1))
    for name in COLUMNS:
        if isinstance(record, bytes) and isinstance(image_of(record, name), bytes):
            return name
    reason = image_of(record, COLUMNS[0]) if isinstance(record, bytes) else record
    assert isinstance(reason, Exception)  # else it had been returned above
    raise DataError(f"{path}: {reason} (--image-column chooses another feature)")


def _open_parquet(path: str) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        # Without pre-buffering and with a buffered stream, only a part of a row group is in memory.
        return pyarrow.parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
    except pyarrow.ArrowException as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: expected a Parquet file. Received: {reason}") from None


def _parquet_column(path: str, schema: Any, column: str) -> str:
    """The path of the column of bytes, which image data sets often wrap in (bytes, path)."""
    import pyarrow

    if column not in schema.names:
        raise DataError(
            f"{path}: expected a column {column!r} (--image-column chooses another). "
            f"Received: columns {', '.join(schema.names)}"
        )
    kind = schema.field(column).type
    if pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        column, kind = f"{column}.bytes", kind.field("bytes").type
    if not (
        pyarrow.types.is_null(kind)  # of a file without rows
        or pyarrow.types.is_binary(kind)
        or pyarrow.types.is_large_binary(kind)
        or pyarrow.types.is_binary_view(kind)
    ):
        raise DataError(
            f"{path}: column {column!r} must hold encoded images (binary, or a struct with binary "
            f"`bytes`). Received: {kind}"
        )
    return column


def _read_parquet(path: str, column: str, start: int, count: int) -> Iterator[bytes | Exception]:
    with _open_parquet(path) as file:
        field = _parquet_column(path, file.schema_arrow, column)
        groups: list[int] = []
        skip = before = 0
        for group in range(file.metadata.num_row_groups):
            after = before + file.metadata.row_group(group).num_rows
            if before < start + count and after > start:
                if not groups:
                    skip = start - before
                groups.append(group)
            before = after
        # A fourth of a scorer's batch: photos of many megabytes must not fill the memory.
        for batch in file.iter_batches(BATCH // 4, groups, [field], use_threads=False):
            if skip >= len(batch):
                skip -= len(batch)
                continue
            values = batch.slice(skip, count).column(0)
            if field != column:
                # A null struct makes its fields null too, which `field` alone would forget.
                values = values.flatten()[0]
            skip, count = 0, count - len(values)
            for value in values:
                content = value.as_py()
                yield (
                    ScoringError("expected an image. Received: null")
                    if content is None
                    else content
                )
            if not count:
                return
