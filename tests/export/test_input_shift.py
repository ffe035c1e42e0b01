"""Scoring warns, once and with the numbers, if images differ from the training images."""

import json

import numpy as np
import onnx
import pytest
from PIL import Image

from export import onnx_model
from export.runtime import InputShift, Scorer, ScoringError, main
from ganad_tf.scoring import Detector


def write(folder, images, gain=1.0):
    folder.mkdir()
    for number, image in enumerate(images):
        pixels = np.clip(image[..., 0] * gain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return str(folder)


def test_the_command_warns_of_brighter_images_and_of_no_others(
    model_path, images, tmp_path, capsys
):
    normal = images[::2][:60]
    assert main([str(model_path), write(tmp_path / "as", normal)]) == 0
    assert capsys.readouterr().err == ""
    assert main([str(model_path), write(tmp_path / "bright", normal, 1.2), "--quiet"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: 60 images differ from the 60 normal training images: bright")


def test_arrays_are_compared_too(model_path, images):
    scorer = Scorer(model_path)
    normal = images[::2][:60]
    assert scorer.describe_shift(normal) == ""
    brighter = np.clip(normal * 1.2, 0, 255).astype(np.uint8)
    assert "brightness" in scorer.describe_shift(brighter)


def test_the_ranges_go_with_every_artefact(detector, model_path, tmp_path):
    detector.save(tmp_path / "detector")
    assert Detector.load(tmp_path / "detector").image_ranges == detector.image_ranges
    assert Scorer(model_path).ranges == detector.image_ranges


def test_a_model_of_an_earlier_version_is_scored_without_a_word(
    model_path, images, tmp_path, capsys
):
    model = onnx.load(model_path)
    kept = [entry for entry in model.metadata_props if entry.key != "image_ranges"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, tmp_path / "old.onnx")
    assert Scorer(tmp_path / "old.onnx").ranges is None
    bright = write(tmp_path / "bright", images[:30], 1.2)
    assert main([str(tmp_path / "old.onnx"), bright]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "ranges", ["{", "[]", "3", '{"images": 3}', '{"images": 3, "percentiles": {"size": [1, 2]}}']
)
def test_damaged_ranges_are_refused(model_path, tmp_path, ranges):
    model = onnx.load(model_path)
    onnx_model.set_metadata(model, {"image_ranges": ranges})
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ScoringError, match=r"with its metadata\. Received: "):
        Scorer(tmp_path / "m.onnx")


def test_a_long_folder_is_judged_by_an_even_sample_in_constant_memory():
    percentiles = {"brightness": np.linspace(90, 110, 101).tolist()}
    shift = InputShift({"images": 100, "percentiles": percentiles}, limit=100)
    shift.add([100.0] for _ in range(1000))
    assert shift.describe() == ""
    shift.add([150.0] for _ in range(9000))
    assert len(shift.rows) == 100
    assert sum(row == [150.0] for row in shift.rows) >= 75
    assert shift.describe().endswith("(100 of 10,000 images were compared)")


def test_a_statistic_of_a_later_version_is_passed_over(model_path, images, tmp_path):
    model = onnx.load(model_path)
    ranges = Scorer(model_path).ranges
    ranges["percentiles"]["hue"] = list(range(101))
    onnx_model.set_metadata(model, {"image_ranges": json.dumps(ranges)})
    onnx.save(model, tmp_path / "m.onnx")
    scorer = Scorer(tmp_path / "m.onnx")
    shift = InputShift(scorer.ranges)
    folder = tmp_path / "bright"
    write(folder, images[::2][:30], 1.3)
    list(scorer.score_files(sorted(folder.iterdir()), shift=shift))
    assert "brightness" in [found["name"] for found in shift.find()]
