"""The configuration of a run decides which images are loaded and how they are split."""

import numpy as np
import pytest

from ganad_tf.data import load
from ganad_tf.data.folder.split_file import write_split
from ganad_tf.data.images import LabelledImages
from ganad_tf.data.load import Source, load_splits
from ganad_tf.settings.run_config import RunConfig


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def fashion(monkeypatch):
    """A small stand-in for Fashion-MNIST; returns the sources that it was asked for."""
    asked = []
    names = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat")
    names += ("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

    def load_fashion_mnist(data_dir, idx_dir):
        asked.append((data_dir, idx_dir))
        images = np.random.default_rng(0).integers(0, 256, (400, 28, 28, 1), np.uint8)
        data = LabelledImages(images, np.arange(400) % 10, names)
        return data, data.subset(np.arange(20))

    monkeypatch.setattr(load, "load_fashion_mnist", load_fashion_mnist)
    return asked


def test_a_folder_is_loaded_with_the_settings_of_the_run(own):
    splits = load_splits(RunConfig(data=str(own), image_size=48, resize="pad", seed=3, channels=3))
    assert splits.train.images.shape[1:] == (48, 48, 3)
    assert splits.folder.root == own
    assert splits.resize == "pad"
    assert splits.train.paths != load_splits(RunConfig(data=str(own), image_size=48)).train.paths


def test_fractions_of_parts_are_those_of_the_run(own):
    summary = load_splits(
        RunConfig(data=str(own), test_fraction=0.5, validation_fraction=0.4)
    ).summary()
    counts = {part: values["normal"] for part, values in summary.items()}
    assert counts == {"train": 6, "validation": 4, "test": 10}


def test_under_protocol_none_no_anomaly_of_a_folder_is_learnt_from(own):
    splits = load_splits(RunConfig(data=str(own), protocol="none"))
    assert splits.n_labelled == 0
    assert splits.test.is_anomaly.any()


def test_bad_files_are_skipped_and_a_split_file_followed_on_request(own, tmp_path):
    (own / "normal" / "bad.png").write_bytes(b"nothing")
    first = load_splits(RunConfig(data=str(own), seed=3, skip_bad=True))
    assert [bad.path for bad in first.folder.bad] == ["normal/bad.png"]
    write_split(first.folder.entries, tmp_path / "split.csv")
    again = load_splits(RunConfig(data=str(own), split=str(tmp_path / "split.csv")))
    assert again.fingerprint == first.fingerprint


def test_without_a_folder_fashion_mnist_is_split(fashion, tmp_path):
    splits = load_splits(
        RunConfig(normal="sneaker", protocol="few", anomalies=20, seed=1),
        Source(tmp_path, tmp_path / "idx"),
    )
    assert fashion == [(tmp_path, tmp_path / "idx")]
    assert (splits.normal_name, splits.protocol, splits.folder) == ("Sneaker", "few", None)
    assert splits.n_labelled == 18  # two of the twenty are held out
    assert splits.n_masked == 0


def test_a_named_class_is_the_labelled_one(fashion):
    splits = load_splits(RunConfig(protocol="unseen", known="bag"))
    assert {splits.train.kind_names[kind] for kind in splits.train.kinds} == {"Sneaker", "Bag"}
    assert fashion == [(None, None)]
