"""Each image of a folder is drawn into a part, and a file stores the parts."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganad_tf.data.account import SplitEntry
from ganad_tf.data.folder.split_file import PARTS, draw_parts, read_split, write_split
from ganad_tf.errors import DataError


def different(count):
    return np.arange(count).astype("U8")


@given(
    kinds=st.lists(st.integers(0, 3), min_size=3, max_size=60),
    copies=st.integers(1, 60),
    fractions=st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)),
    seed=st.integers(0, 2**32),
)
def test_no_picture_is_in_two_parts_and_no_part_lacks_a_label(kinds, copies, fractions, seed):
    kinds = np.array([0] * 4 + kinds)
    # The first four stay different normal images; the others repeat one another.
    digests = np.concatenate([different(4), (4 + np.arange(len(kinds) - 4) % copies).astype("U8")])
    parts = draw_parts(kinds, digests, *fractions, seed)
    for digest in np.unique(digests):
        assert len(set(parts[digests == digest])) == 1
    assert set(parts[np.isin(digests, digests[kinds > 0], invert=True)]) == {*PARTS[:3]}
    different_anomalies = len(set(digests[kinds > 0]))
    if different_anomalies:
        expected = {"test"} if different_anomalies < 3 else {*PARTS[:3]}
        assert set(parts[kinds > 0]) == expected


@given(
    sizes=st.lists(st.integers(5, 40), min_size=2, max_size=4),
    fractions=st.tuples(st.floats(0.1, 0.4), st.floats(0.1, 0.4)),
    seed=st.integers(0, 2**32),
)
def test_every_kind_is_split_in_proportion(sizes, fractions, seed):
    kinds = np.repeat(np.arange(len(sizes)), sizes)
    validation, test = fractions
    parts = draw_parts(kinds, different(len(kinds)), validation, test, seed)
    for kind, size in enumerate(sizes):
        assert abs((parts[kinds == kind] == "test").sum() - test * size) <= 2
        held = (parts[kinds == kind] == "validation").sum()
        assert abs(held - validation * (1 - test) * size) <= 3


@pytest.mark.parametrize(
    ("photos", "validation", "test", "needed"),
    [
        *((266, 0.1, 0.3, 19), (88, 0.3, 0.3, 19), (186, 0.1, 0, 19), (60, 0.1, 0.3, 4)),
        *((1408, 0.1, 0.3, 99), (470, 0.3, 0.3, 99), (986, 0.1, 0, 99)),
    ],
)
def test_so_many_photos_as_the_docs_say_give_the_validation_images_of_a_promise(
    photos, validation, test, needed
):
    def held_out(count):
        parts = draw_parts(np.zeros(count, int), different(count), validation, test, seed=0)
        return np.count_nonzero(parts == "validation")

    assert held_out(photos) == needed
    assert needed == 4 or held_out(photos - 1) < needed
    page = (Path(__file__).parents[3] / "docs" / "own_images.md").read_text(encoding="utf-8")
    assert f"{photos:,}" in page


def test_without_a_test_part_there_are_two():
    parts = draw_parts(np.array([0] * 10 + [1] * 10 + [2]), different(21), 0.2, 0, seed=0)
    assert (parts[:10] == "validation").sum() == 2
    assert set(parts) == {"train", "validation"}
    alone = draw_parts(np.array([0] * 10 + [1]), different(11), 0.2, 0, seed=0)
    assert alone[10] == "unused"


def test_the_seed_decides_and_the_order_does_not_matter():
    kinds, digests = np.arange(90) % 3, different(90)
    parts = draw_parts(kinds, digests, 0.1, 0.3, seed=5)
    turned = draw_parts(kinds[::-1], digests[::-1], 0.1, 0.3, seed=5)
    np.testing.assert_array_equal(turned[::-1], parts)
    assert (draw_parts(kinds, digests, 0.1, 0.3, seed=6) != parts).any()


def test_too_few_different_normal_images_are_refused():
    with pytest.raises(DataError, match=r"at least 4 different normal images.*Received: 3"):
        draw_parts(np.array([0] * 6 + [1] * 4), np.array(list("aabbccdefg")), 0.1, 0.3, 0)


# As the system gives them: bytes, which need not be UTF-8.
names = st.binary(min_size=1, max_size=20).map(lambda name: os.fsdecode(name.replace(b"\0", b"x")))


@given(
    st.lists(
        st.builds(SplitEntry, names, names, st.booleans(), st.sampled_from(PARTS)),
        unique_by=lambda entry: entry.path,
    )
)
def test_a_split_file_gives_back_what_was_written(tmp_path_factory, entries):
    path = tmp_path_factory.mktemp("split") / "split.csv"
    write_split(entries, path)
    assert read_split(path) == entries
    masks = ((*(entry.path for entry in entries[:number]),) for number in range(len(entries)))
    entries = [dataclasses.replace(e, masks=m) for e, m in zip(entries, masks, strict=True)]
    write_split(entries, path)
    assert read_split(path) == entries


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "which begins path,kind,label,part. Received: 'an empty file'"),
        ("a,b\n", "Received: 'a,b'"),
        ("path,kind,label,part\na.png,hole,bad,train\n", "in row 2 .* Received: 'a.png,hole,bad"),
        ("path,kind,label,part\na.png,hole,anomaly\n", "in row 2 .* Received: 'a.png,hole,anom"),
        ("path,kind,label,part\n" + "a,n,normal,test\n" * 2, "every image once. Received: 'a'"),
        ('path,kind,label,part\n"a,n,normal,test\n', "a split file .CSV.. Received: "),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_split(tmp_path / "split.csv")


def test_a_missing_split_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none.csv: expected a split file. Received: No such"):
        read_split(tmp_path / "none.csv")
