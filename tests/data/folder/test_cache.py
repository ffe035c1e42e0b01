"""Every file is decoded once."""

import numpy as np
import pytest
from PIL import Image

from ganad_tf.data.folder import decode_file
from ganad_tf.data.folder.cache import decode_files
from ganad_tf.data.folder.cache_folder import default_cache
from ganad_tf.data.folder.decode_file import Reading
from ganad_tf.data.folder.parallel import digest_files
from ganad_tf.data.image_files.decoding import prepare


@pytest.fixture
def files(tmp_path, save):
    """Five grey files, by their digests."""
    paths = [save(tmp_path / "data" / f"{n}.png").name for n in range(5)]
    return digests(tmp_path / "data", paths)


def digests(root, paths):
    found, unreadable = digest_files(root, paths)
    assert not unreadable
    return {digest: root / path for path, digest in found.items()}


def refuse_to_decode(monkeypatch):
    def fail(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(decode_file, "open_image", fail)


def test_each_content_has_its_row(files, tmp_path):
    decoded = decode_files(files, Reading(32), tmp_path)
    assert decoded.images.shape == (5, 32, 32, 1)
    for digest, path in files.items():
        expected = prepare(Image.open(path), (32, 32, 1))
        np.testing.assert_array_equal(decoded.images[decoded.rows[digest]], expected)
    assert isinstance(decoded.images, np.memmap)


def test_a_second_time_nothing_is_decoded_whatever_the_names(files, tmp_path, monkeypatch):
    first = decode_files(files, Reading(32), tmp_path)
    refuse_to_decode(monkeypatch)
    renamed = dict.fromkeys(reversed(files), tmp_path / "gone")
    again = decode_files(renamed, Reading(32), tmp_path)
    assert again.rows == first.rows
    np.testing.assert_array_equal(again.images, first.images)


def test_stretched_and_padded_images_are_kept_apart(files, tmp_path):
    stretched = decode_files(files, Reading(32), tmp_path)
    padded = decode_files(files, Reading(32, resize="pad"), tmp_path)
    # 6x5 pixels become 32x27: two rows above, three below.
    assert not padded.images[:, [0, 1, 29, 30, 31]].any()
    assert stretched.images[:, 0].any()


@pytest.mark.parametrize("damage", ["images.npy", "record.npz"])
def test_damaged_leftovers_are_decoded_again(files, tmp_path, damage):
    first = np.array(decode_files(files, Reading(32), tmp_path / "kept").images)
    (path,) = (tmp_path / "kept").glob(f"*/{damage}")
    path.write_bytes(path.read_bytes()[:-20])
    again = decode_files(files, Reading(32), tmp_path / "kept")
    np.testing.assert_array_equal(again.images, first)


def test_one_coloured_image_makes_all_coloured(files, tmp_path, save):
    save(tmp_path / "data" / "colour.png", np.full((5, 6, 3), (200, 10, 10), np.uint8))
    files |= digests(tmp_path / "data", ["colour.png"])
    decoded = decode_files(files, Reading(32), tmp_path / "kept")
    assert decoded.images.shape == (6, 32, 32, 3)
    assert decoded.is_grey.sum() == 5
    assert decode_files(files, Reading(32, 1), tmp_path / "kept").images.shape == (6, 32, 32, 1)


def test_grey_pictures_in_coloured_files_are_grey(tmp_path, save):
    save(tmp_path / "a.png", np.full((5, 6, 3), 77, np.uint8))
    save(tmp_path / "b.png", np.full((5, 6), 78, np.uint8))
    decoded = decode_files(digests(tmp_path, ["a.png", "b.png"]), Reading(32), tmp_path)
    assert decoded.images.shape[-1] == 1


def test_one_image_in_two_formats_has_one_digest_of_pixels(tmp_path, save):
    pixels = np.arange(30, dtype=np.uint8).reshape(5, 6)
    save(tmp_path / "a.png", pixels)
    save(tmp_path / "b.bmp", pixels)
    decoded = decode_files(digests(tmp_path, ["a.png", "b.bmp"]), Reading(32), tmp_path)
    assert len(set(decoded.pixel_digests)) == 1


def test_broken_files_have_a_reason_that_is_kept_too(files, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    whole = next(iter(files.values())).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:45])
    (tmp_path / "text.png").write_bytes(b"hello")
    files |= digests(tmp_path, ["cut.png", "text.png"])
    for _ in range(2):
        decoded = decode_files(files, Reading(32), tmp_path / "kept")
        reasons = {files[d].name: decoded.reasons.get(row) for d, row in decoded.rows.items()}
        assert reasons.pop("cut.png").startswith("expected a whole image. Received: ")
        assert reasons.pop("text.png").endswith(
            "TIFF, PPM, WEBP, JPEG2000). Received: other or damaged content"
        )
        assert set(reasons.values()) == {None}
        refuse_to_decode(monkeypatch)
    assert caplog.messages == [f"kept 5 decoded images in {next((tmp_path / 'kept').iterdir())}"]


def test_a_failing_disk_leaves_nothing_behind(files, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(decode_file, "open_image", fail)
    with pytest.raises(OSError, match="Input/output"):
        decode_files(files, Reading(32), tmp_path / "kept")
    assert not list((tmp_path / "kept").iterdir())


def test_files_that_cannot_be_read_are_told(tmp_path):
    found, unreadable = digest_files(tmp_path, ["none.png"])
    assert not found
    assert unreadable == {
        "none.png": "expected a readable file. Received: No such file or directory"
    }


def test_the_cache_is_where_the_system_wants_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "ganad_tf"


def test_the_bit_depth_follows_from_every_column(tmp_path):
    values = np.zeros((5, 6), np.uint16)
    values[4, 5] = 4095
    Image.fromarray(values).save(tmp_path / "a.png")
    decoded = decode_files({"a": tmp_path / "a.png"}, Reading(32), tmp_path / "kept")
    assert decoded.bit_depth == 12
