"""Where Fashion-MNIST comes from: a tiny builder of TFDS, and stand-ins for disk, site and apt."""

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_datasets as tfds

from ganad_tf.data.fashion_mnist import load as fashion_mnist
from ganad_tf.data.fashion_mnist.load import load_fashion_mnist
from ganad_tf.data.images import LabelledImages
from ganad_tf.errors import DataError

NAMES = tuple(f"kind {k}" for k in range(10))


def make_part(count):
    images = np.random.default_rng(count).integers(0, 256, (count, 28, 28, 1), np.uint8)
    return LabelledImages(images, np.arange(count) % 10, NAMES)


PUBLISHED = {"train": make_part(30), "test": make_part(20)}


class TinyFashion(tfds.core.GeneratorBasedBuilder):
    """Random images that TFDS numbers, stores and reads as it does Fashion-MNIST's."""

    VERSION = tfds.core.Version("3.0.1")
    url_infos = {  # noqa: RUF012
        "http://site.invalid/labels.gz": SimpleNamespace(filename="labels.gz", checksum="", size=3)
    }

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(28, 28, 1)),
            "label": tfds.features.ClassLabel(names=NAMES),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in PUBLISHED}

    def _generate_examples(self, split):
        part = PUBLISHED[split]
        for number, (image, kind) in enumerate(zip(part.images, part.kinds, strict=True)):
            yield number, {"image": image, "label": kind}


@pytest.fixture
def world(monkeypatch, tmp_path):
    """Nothing is prepared and nothing answers, until a test says so."""
    world = SimpleNamespace(data=tmp_path / "data", folders=set(), answer=None, package=None)

    @contextlib.contextmanager
    def official_files(folder, checksums):
        assert checksums == {"labels.gz": ""}
        if folder not in world.folders:
            raise DataError(f"{folder}: no such folder")
        yield tmp_path

    def urlopen(url, timeout):
        assert timeout < 10
        if world.answer is None:
            raise TimeoutError("timed out")
        return io.BytesIO(world.answer)

    def unpack_package(package, folder):
        if world.package is None:
            raise DataError("apt: no mirror")
        world.folders.add(folder / "usr/share/datasets/fashion-mnist")
        return folder

    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: TinyFashion(data_dir=data_dir))
    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setattr(fashion_mnist, "official_files", official_files)
    monkeypatch.setattr(fashion_mnist, "unpack_package", unpack_package)
    digests = {split: part.digest() for split, part in PUBLISHED.items()}
    monkeypatch.setattr(fashion_mnist, "_DIGESTS", digests)
    return world


@pytest.fixture
def prepared(world):
    TinyFashion(data_dir=world.data).download_and_prepare()
    return world


def source_of(caplog, world, idx_dir=None):
    with caplog.at_level("INFO", logger=fashion_mnist.__name__):
        load_fashion_mnist(world.data, idx_dir)
    (message,) = (r.getMessage() for r in caplog.records if r.name == fashion_mnist.__name__)
    return message


def test_prepared_data_is_read_in_the_published_order(prepared):
    train, test = load_fashion_mnist(prepared.data)
    for loaded, published in ((train, PUBLISHED["train"]), (test, PUBLISHED["test"])):
        np.testing.assert_array_equal(loaded.images, published.images)
        np.testing.assert_array_equal(loaded.kinds, published.kinds)
        assert loaded.kind_names == NAMES
        assert loaded.normal_kinds == frozenset()


def test_prepared_data_comes_before_every_other_source(prepared, caplog):
    prepared.folders.add(fashion_mnist.SYSTEM_FOLDER)
    assert "prepared by TFDS in" in source_of(caplog, prepared)


def test_then_comes_the_named_folder(world, caplog):
    world.folders |= {Path("mine"), fashion_mnist.SYSTEM_FOLDER}
    assert "preparing the IDX files in mine" in source_of(caplog, world, Path("mine"))


def test_then_the_system_s_folder(world, caplog):
    world.folders.add(fashion_mnist.SYSTEM_FOLDER)
    world.answer = b"ok!"
    assert "preparing the IDX files in /usr/share" in source_of(caplog, world)


def test_then_the_site_if_it_answers(world, caplog):
    world.answer = world.package = b"ok!"
    assert "preparing http://site.invalid with TFDS" in source_of(caplog, world)


def test_then_debian_s_package_also_where_the_site_answers_something_else(world, caplog):
    world.answer, world.package = b"please log in", True
    assert "preparing the package dataset-fashion-mnist" in source_of(caplog, world)


def test_the_last_error_names_every_way_and_what_was_tried(world):
    with pytest.raises(DataError) as caught:
        load_fashion_mnist(world.data)
    ways = ["dataset-fashion-mnist", "--idx-dir", "--data-dir", "http://site.invalid", "apt-get"]
    tried = ["/usr/share/datasets/fashion-mnist: no such folder", "timed out", "apt: no mirror"]
    assert all(part in str(caught.value) for part in ways + tried)


def test_a_bad_named_folder_is_an_error_even_where_it_is_not_needed(prepared):
    with pytest.raises(DataError, match="mine: no such folder"):
        load_fashion_mnist(prepared.data, Path("mine"))


def test_a_fault_at_this_end_is_told_at_once_and_no_other_source_tried(world, monkeypatch):
    world.folders.add(fashion_mnist.SYSTEM_FOLDER)

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TinyFashion, "download_and_prepare", fail)
    with pytest.raises(DataError, match=r"expected TFDS to prepare.*No space left") as caught:
        load_fashion_mnist(world.data)
    assert "Any one of these helps" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "received"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "truncated record"),
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(b""), "."),
    ],
    ids=["cut", "gone", "empty"],
)
def test_damaged_prepared_data_is_told_with_the_remedy(prepared, damage, received):
    (records,) = prepared.data.rglob("*train*")
    damage(records)
    with pytest.raises(DataError, match=rf"remove the folder.*Received: .*{received}"):
        load_fashion_mnist(prepared.data)


def test_prepared_data_with_other_images_is_refused(prepared, monkeypatch):
    monkeypatch.setitem(fashion_mnist._DIGESTS, "test", "of other images")
    with pytest.raises(DataError, match="Received: other images in test"):
        load_fashion_mnist(prepared.data)
