"""The IDX reader: whatever is in the file, an array or a DataError."""

import contextlib
import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ganad_tf.data.fashion_mnist.idx import parse_idx, read_plain
from ganad_tf.errors import DataError


def read_idx(path):
    return parse_idx(read_plain(path), path)


def idx_bytes(array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


WHOLE = idx_bytes(np.arange(24).reshape(4, 3, 2))


@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=4, min_side=0)))
def test_what_is_written_is_read(array):
    np.testing.assert_array_equal(parse_idx(idx_bytes(array), "x"), array, strict=True)


@given(st.integers(0, len(WHOLE) - 1))
def test_a_truncated_file_is_a_data_error(length):
    with pytest.raises(DataError, match="Received: "):
        parse_idx(WHOLE[:length], "x")


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda tail: b"\0\0\x08" + tail))
def test_garbage_is_a_data_error_or_happens_to_be_whole(data):
    with contextlib.suppress(DataError):
        assert idx_bytes(parse_idx(data, "x")) == data


def test_an_impossible_shape_is_a_data_error():
    for shape in ([0] * 255, [0, 2**32 - 1, 2**32 - 1, 2**32 - 1]):
        header = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
        with pytest.raises(DataError, match="possible shape"):
            parse_idx(header, "x")


@given(st.integers(0, len(gzip.compress(WHOLE)) - 1))
def test_a_truncated_gz_is_a_data_error(length):
    with pytest.raises(DataError):
        read_idx(FakePath(gzip.compress(WHOLE)[:length]))


@given(st.integers(0, len(gzip.compress(WHOLE)) - 1), st.integers(1, 255))
def test_a_garbled_gz_is_a_data_error_or_still_says_the_same(position, flip):
    stored = bytearray(gzip.compress(WHOLE, mtime=0))
    stored[position] ^= flip
    try:
        array = read_idx(FakePath(bytes(stored)))
    except DataError:
        return
    assert idx_bytes(array) == WHOLE


class FakePath:
    """As much of a path as the reader uses, without a disk."""

    def __init__(self, content):
        self.read_bytes = lambda: content


def test_the_name_does_not_matter_only_the_content(tmp_path):
    (tmp_path / "plain").write_bytes(WHOLE)
    (tmp_path / "packed").write_bytes(gzip.compress(WHOLE))
    np.testing.assert_array_equal(read_idx(tmp_path / "plain"), read_idx(tmp_path / "packed"))


def test_the_error_names_the_file_and_both_counts(tmp_path):
    (tmp_path / "short").write_bytes(WHOLE[:-1])
    expected = r"short: expected 24 values.*\[4, 3, 2\]. Received: 23"
    with pytest.raises(DataError, match=expected):
        read_idx(tmp_path / "short")


def test_a_missing_file_and_a_folder_are_data_errors(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: .*No such file"):
        read_idx(tmp_path / "nowhere")
    with pytest.raises(DataError, match="directory"):
        read_idx(tmp_path)
