"""One rule says which files are images: in training, in the runtime and in batch scoring."""

import pytest

from export import runtime
from export.batch.sources import list_files
from ganad_tf.data.folder import file_names
from ganad_tf.data.folder.layouts import list_folder

IMAGES = ("a.png", "B.JPG", "c.jfif", "d.jpe", "é 2.tiff", "sub/e.webp", "x.png/f.bmp", "g.jp2")
UNREAD = ("IMG_1.HEIC", "sub/raw.dng", "h.avif")
OTHERS = ("notes.txt", "sub/labels.csv", "no suffix", "png")
LITTER = (
    *("._a.png", ".hidden.png", "__MACOSX/._a.png", "__MACOSX/a.png", ".Trash-1000/a.png"),
    *(".ipynb_checkpoints/a.png", "sub/@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg", "Thumbs.db"),
    *(".DS_Store", "$RECYCLE.BIN/a.png", "Thumbs/a.png", "desktop.ini"),
)


@pytest.fixture
def folder(tmp_path):
    """An own layout with every file of the table below `normal`."""
    for name in IMAGES + UNREAD + OTHERS + LITTER:
        path = tmp_path / "normal" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("name", ["SUFFIXES", "HEIF_SUFFIXES", "UNREAD_SUFFIXES", "LITTER"])
def test_the_tables_are_the_same(name):
    assert getattr(file_names, name) == getattr(runtime, name)


def test_training_reads_the_images(folder):
    paths = [image.path.removeprefix("normal/") for image in list_folder(folder).images]
    assert paths == sorted(IMAGES)


def test_the_runtime_scores_the_images_and_has_records_of_unread_ones(folder):
    problems = []
    found = runtime.find_images([str(folder / "normal")], problems)
    assert sorted(name for _, name in found) == sorted(IMAGES + UNREAD)
    assert not problems


def test_the_runtime_counts_what_it_passes_over(folder):
    import collections

    skipped = collections.Counter()
    list(runtime.find_images([str(folder / "normal")], [], skipped))
    assert skipped[".txt"] == skipped[".csv"] == 1
    assert skipped["without a suffix"] == 2
    assert skipped["hidden or of the system"] == 11


def test_batch_scoring_has_rows_of_the_same_files(folder):
    found = [name for name, _ in list_files(str(folder / "normal"))]
    assert sorted(found) == sorted(IMAGES + UNREAD)
