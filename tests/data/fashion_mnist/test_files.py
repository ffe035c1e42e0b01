"""However the four files are stored, TFDS gets the very bytes that were published."""

import gzip
import hashlib
import io
import struct

import numpy as np
import pytest

from ganad_tf.data.fashion_mnist.files import official_files
from ganad_tf.errors import DataError

TIMES = {"train": 1504176606, "t10k": 1504176627}


def idx_bytes(array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def contents(train=6, t10k=3):
    """Small stand-ins for the four files, uncompressed, by name."""
    rng = np.random.default_rng(0)
    files = {}
    for part, count in (("train", train), ("t10k", t10k)):
        files[f"{part}-images-idx3-ubyte"] = idx_bytes(rng.integers(0, 256, (count, 28, 28)))
        files[f"{part}-labels-idx1-ubyte"] = idx_bytes(rng.integers(0, 10, count))
    return files


def published(name, content):
    """A .gz as `gzip file` writes it, with the published time stamp."""
    stream = io.BytesIO()
    with gzip.GzipFile(name, "wb", 6, stream, TIMES[name.split("-")[0]]) as file:
        file.write(content)
    compressed = bytearray(stream.getvalue())
    compressed[8:10] = b"\0\3"  # Python tells its system otherwise than gzip does
    return bytes(compressed)


FILES = contents()
PUBLISHED = {f"{name}.gz": published(name, content) for name, content in FILES.items()}
CHECKSUMS = {name: hashlib.sha256(content).hexdigest() for name, content in PUBLISHED.items()}


def fill(folder, files=PUBLISHED):
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    "stored",
    [
        PUBLISHED,
        {name: gzip.compress(FILES[name[:-3]], 6, mtime=5) for name in PUBLISHED},  # as Debian's
        {name: gzip.compress(FILES[name[:-3]], 1) for name in PUBLISHED},
        FILES,
    ],
    ids=["published", "another header", "another compression", "plain"],
)
def test_the_published_bytes_are_restored(stored, tmp_path, monkeypatch):
    monkeypatch.setattr("subprocess.run", gzip_of_this_python)
    fill(tmp_path, stored)
    with official_files(tmp_path, CHECKSUMS) as folder:
        restored = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert restored == PUBLISHED
    assert not folder.exists()


def gzip_of_this_python(command, input, **_):
    """Stands in for the gzip program, whose streams differ from Python's."""
    assert command[0] == "gzip"
    return type("Done", (), {"stdout": gzip.compress(input, 6, mtime=0)})


def break_nothing(folder):
    (folder / "README").write_text("not of interest")


def remove_labels(folder):
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()


def cut(folder):
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:1000])


def swap_labels(folder):
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(PUBLISHED["train-labels-idx1-ubyte.gz"])


def images_for_labels(folder):
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(PUBLISHED["t10k-images-idx3-ubyte.gz"])


def other_pixels(folder):
    fill(folder, {"train-images-idx3-ubyte.gz": gzip.compress(idx_bytes(np.zeros((6, 28, 28))))})


def test_other_files_in_the_folder_do_not_matter(tmp_path):
    fill(tmp_path)
    break_nothing(tmp_path)
    with official_files(tmp_path, CHECKSUMS):
        pass


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_labels, r"expected t10k-labels-idx1-ubyte.gz or t10k-labels.* Received: t10k-im"),
        (cut, r"train-images-idx3-ubyte.gz: expected a whole .gz file. Received: 1000 bytes"),
        (swap_labels, r"t10k-labels-idx1-ubyte.gz: expected 3 labels.*Received: 6"),
        (images_for_labels, r"t10k-labels.*: expected 1 dimensions. Received: \[3, 28, 28\]"),
        (other_pixels, r"train-images.*: expected Fashion-MNIST's.*bytes of other content"),
    ],
)
def test_a_damaged_folder_is_refused_and_the_file_named(damage, message, tmp_path):
    fill(tmp_path)
    damage(tmp_path)
    with pytest.raises(DataError, match=message), official_files(tmp_path, CHECKSUMS):
        pass


def test_an_empty_and_a_missing_folder_are_told_apart(tmp_path):
    for folder, message in ((tmp_path, "an empty folder"), (tmp_path / "x", "no such folder")):
        with pytest.raises(DataError, match=message), official_files(folder, CHECKSUMS):
            pass
