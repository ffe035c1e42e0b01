"""Whether images are stretched or padded goes with the model, from the run to every format."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from export import onnx_model, runtime, saved_model
from export.runtime import Scorer, ScoringError, prepare
from ganad_tf.scoring import Detector


@pytest.fixture(scope="module")
def padding(detector, tmp_path_factory):
    """The tiny detector as one that was trained on padded images, saved and loaded."""
    folder = tmp_path_factory.mktemp("padding") / "detector"
    detector.save(folder)
    assert Detector.load(folder).resize == "stretch"
    padding = Detector.load(folder)
    padding.resize = "pad"
    padding.save(folder)
    return Detector.load(folder)


@pytest.fixture(scope="module")
def onnx(padding, tmp_path_factory):
    path = tmp_path_factory.mktemp("padding") / "model.onnx"
    onnx_model.save(onnx_model.build(padding, "0" * 64, "blob"), path)
    return path


@pytest.fixture
def wide(tmp_path, images):
    """A photo twice as wide as high, and what the model should see of it."""
    image = Image.fromarray(np.hstack([images[0, ..., 0], images[1, ..., 0]]))
    image.save(tmp_path / "wide.png")
    return tmp_path / "wide.png", prepare(image, (28, 28, 1), "pad")


def test_the_runtime_pads(onnx, padding, wide):
    path, pixels = wide
    scorer = Scorer(onnx)
    assert scorer.resize == "pad"
    (record,) = scorer.score_files([str(path)])
    expected = padding.run(pixels[None])["score"][0]
    assert record["score"] == pytest.approx(float(expected), abs=1e-4)


def test_the_served_model_pads(padding, wide, tmp_path):
    path, pixels = wide
    saved_model.write(padding, tmp_path / "1", {}, "ganad")
    serve = tf.saved_model.load(str(tmp_path / "1")).signatures["serve_encoded"]
    answer = serve(encoded=tf.constant([path.read_bytes()]))
    # Resized pixels may differ by one level from Pillow's.
    expected = padding.run(pixels[None], outputs=("anomaly_map",))["anomaly_map"]
    np.testing.assert_allclose(answer["anomaly_map"], expected, atol=0.2)
    assert np.abs(answer["reconstruction"][0].numpy().astype(int)).shape == (28, 28, 1)


def test_overlays_leave_the_padding_out(onnx, wide, tmp_path, monkeypatch):
    scorer = Scorer(onnx)
    heat = np.zeros((28, 28), np.float32)
    heat[:7] = heat[21:] = 9  # the padding above and below
    runtime._write_overlay(scorer, str(wide[0]), heat, None, str(tmp_path / "cool.png"))
    heat[7:21, :14] = 9
    runtime._write_overlay(scorer, str(wide[0]), heat, None, str(tmp_path / "hot.png"))
    original = np.asarray(Image.open(wide[0]))
    cool, hot = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in ("cool", "hot"))
    np.testing.assert_array_equal(cool, np.repeat(original[..., None], 3, -1))
    assert (hot[:, 29:] == cool[:, 29:]).all()
    assert (hot[:, :20] != cool[:, :20]).any(axis=-1).all()


@pytest.mark.parametrize(
    ("entries", "known"),
    [
        ({}, "stretch"),  # written before images could be padded
        ({"fit": "pad"}, "pad"),  # as it was called then
        ({"resize": "pad"}, "pad"),
        ({"fit": "crop"}, None),
        ({"resize": "crop"}, None),
    ],
)
def test_earlier_models_are_read_and_unknown_ways_are_refused(detector, tmp_path, entries, known):
    model = onnx_model.build(detector, "0" * 64, "blob")
    kept = {e.key: e.value for e in model.metadata_props if e.key != "resize"}
    del model.metadata_props[:]
    onnx_model.set_metadata(model, kept | entries)
    onnx_model.save(model, tmp_path / "model.onnx")
    if known:
        assert Scorer(tmp_path / "model.onnx").resize == known
    else:
        with pytest.raises(ScoringError, match="with its metadata"):
            Scorer(tmp_path / "model.onnx")
