"""Whatever a folder holds, it is listed, or refused in one sentence."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganad_tf.data.folder.layouts import list_folder
from ganad_tf.data.folder.masks import match_masks
from ganad_tf.data.folder.uses import describe_use
from ganad_tf.errors import DataError

FOLDERS = (
    *("normal", "Normal", "anomaly", "abnormal", "good", "ok", "ko", "train", "test", "val", "gt"),
    *("ground_truth", "Ground_Truth", "Data", "Images", "Masks", "Anomaly", "hole", "000", "cats"),
    *("__MACOSX", ".Trash", "ä ö", "split_csv"),
)
FILES = (
    *("a.png", "a_mask.png", "a_GT.png", "a.jpg", "000.png", "._a.png", "x.HEIC", "notes.txt"),
    *("labels.csv", "image_anno.csv", "no suffix", "Thumbs.db", "\udcff.png"),
)
KINDS = ("file", "file", "file", "empty folder", "pipe", "link to nowhere", "link to the root")
PATHS = st.tuples(
    st.lists(st.sampled_from(FOLDERS), max_size=4), st.sampled_from(FILES), st.sampled_from(KINDS)
)


def put(root, folders, name, kind):
    path = Path(root, *folders, name)
    if os.path.lexists(path):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "file":
            path.write_bytes(b"damaged")
        elif kind == "empty folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("nowhere" if kind == "link to nowhere" else root)
    except OSError:
        pass  # a file is where a folder should be


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(paths=st.lists(PATHS, max_size=14))
def test_any_folder_is_listed_or_refused(paths):
    with tempfile.TemporaryDirectory() as root:
        for folders, name, kind in paths:
            put(root, folders, name, kind)
        try:
            listing = list_folder(Path(root))
        except DataError as error:
            assert "Received: " in str(error)  # noqa: PT017
            return
        masks = match_masks(listing, {image.path for image in listing.images})
        used = [image.path for image in listing.images]
        assert len(set(used)) == len(used)
        assert not set(used) & {mask.path for mask in listing.masks}
        bad = [*listing.bad, *masks.bad]
        assert all("Received: " in file.reason for file in bad)
        assert len(describe_use(listing, masks.folders, bad)) <= 24


def test_a_folder_that_cannot_be_read_is_named(own, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(
        DataError, match=r"own: expected a folder that can be read\. Received: Perm"
    ):
        list_folder(own)


def test_links_to_folders_that_are_not_used_are_not_followed(own):
    (own / "everything").symlink_to("/")  # counting its images would take hours
    listing = list_folder(own)
    assert listing.ignored["", "a folder that has no meaning in this layout"] == ["everything"]
