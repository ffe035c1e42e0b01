"""Reads TFRecord files of `tf.train.Example` without TensorFlow.

TensorFlow would cost each worker seconds to start and hundreds of megabytes. A record is its length
(8 bytes), that length's checksum (4), the data, and the data's checksum (4).
"""

import functools
import os
import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from ganad_tf.errors import DataError

from ..runtime import ScoringError

HEADER, CHECKSUM = struct.Struct("<QI"), struct.Struct("<I")

# The part of tensorflow/core/example/*.proto that leads to bytes; the rest is skipped as unknown.
EXAMPLE = """
name: "ganad_tf/example.proto" package: "ganad_tf" syntax: "proto3"
message_type {
  name: "Example"
  field { name: "features" number: 1 type: TYPE_MESSAGE type_name: ".ganad_tf.Features" }
}
message_type {
  name: "Features"
  field {
    name: "feature" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE
    type_name: ".ganad_tf.Features.FeatureEntry"
  }
  nested_type {
    name: "FeatureEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field {
      name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
      type_name: ".ganad_tf.Feature"
    }
  }
}
message_type {
  name: "Feature"
  field { name: "bytes_list" number: 1 type: TYPE_MESSAGE type_name: ".ganad_tf.BytesList" }
}
message_type {
  name: "BytesList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES }
}
"""


@functools.cache
def _example_class():
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

    file = text_format.Parse(EXAMPLE, descriptor_pb2.FileDescriptorProto())
    for message in file.message_type:
        for field in message.field:
            if not field.HasField("label"):
                field.label = field.LABEL_OPTIONAL
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("ganad_tf.Example"))


def _checksum(data: bytes) -> int:
    """TFRecord's masked CRC-32C."""
    import google_crc32c

    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _next_length(file: BinaryIO, size: int, path: str) -> int | None:
    """Reads a record's header; None at the end of the file."""
    position = file.tell()
    header = file.read(HEADER.size)
    if not header:
        return None
    if position == 0 and header.startswith(b"\x1f\x8b"):
        raise DataError(
            f"{path}: expected an uncompressed TFRecord file. Received: gzip; run gunzip first"
        )
    if len(header) == HEADER.size:
        length, checksum = HEADER.unpack(header)
        whole = file.tell() + length + CHECKSUM.size <= size
        if whole and _checksum(header[:8]) == checksum:
            return length
    raise DataError(
        f"{path}: expected whole TFRecords. Received: a damaged or cut one at byte {position:,}"
    )


def count_records(path: str) -> int:
    """The number of records, from their lengths alone.

    Raises:
        DataError: if the file is cut, compressed or no TFRecord.
    """
    count = 0
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while (length := _next_length(file, size, path)) is not None:
            file.seek(length + CHECKSUM.size, os.SEEK_CUR)
            count += 1
    return count


def read_records(path: str, start: int, count: int) -> Iterator[bytes | Exception]:
    """Yields `count` records from number `start` on, or for a damaged one the error."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        for number in range(start + count):
            length = _next_length(file, size, path)
            if length is None:
                return
            if number < start:
                file.seek(length + CHECKSUM.size, os.SEEK_CUR)
                continue
            data = file.read(length)
            (checksum,) = CHECKSUM.unpack(file.read(CHECKSUM.size))
            if _checksum(data) == checksum:
                yield data
            else:
                yield ScoringError("expected the record's checksum. Received: damaged data")


def image_of(record: bytes, feature: str) -> bytes | Exception:
    """The encoded image in a serialised `tf.train.Example`, or the error that there is none."""
    from google.protobuf.message import DecodeError

    try:
        features = _example_class().FromString(record).features.feature
    except DecodeError:
        return ScoringError("expected a tf.train.Example. Received: another record")
    values = features[feature].bytes_list.value if feature in features else []
    if len(values) != 1:
        held = f"{len(values)} of them" if feature in features else f"features {_names(features)}"
        return ScoringError(f"expected one image (bytes) in feature {feature!r}. Received: {held}")
    return values[0]


def _names(features: Iterable[str]) -> str:
    return ", ".join(sorted(features)) or "none"
