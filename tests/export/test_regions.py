"""Masks and regions: the same in every runtime, and in one pass over a file."""

import dataclasses
import json

import numpy as np
import onnx
import pytest
import tensorflow as tf
from PIL import Image
from scipy import ndimage

from export import onnx_model, runtime
from export.calibrated_graph import set_metadata
from export.int8_pixels import refit_pixel_threshold
from export.quantizer import Quantizer
from export.runtime import Scorer, SettingError, add_file_boxes, find_regions, main
from export.serving.client import main as client_main
from ganad_tf.scoring import regions as library
from ganad_tf.scoring.detector import Detector

COUNT = 24


@pytest.fixture(scope="module")
def scorer(model_path):
    return Scorer(model_path)


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    """Image files of the model's size."""
    place = tmp_path_factory.mktemp("files")
    for number, image in enumerate(images[:COUNT]):
        Image.fromarray(image[..., 0]).save(place / f"{number:02}.png")
    return place


@pytest.fixture(scope="module")
def explained(detector, images):
    """What Keras says of these images."""
    found = detector.explain(images[:COUNT])
    limit = detector.scorer.pixel_threshold
    # No pixel lies where the rounding of another runtime could decide.
    assert np.abs(found.anomaly_map - limit).min() > 1e-5
    assert 0 < sum(map(bool, found.regions)) < COUNT
    return found


@pytest.fixture(scope="module")
def old_model(model_path, detector, tmp_path_factory):
    """A model of an earlier version, without a pixel threshold."""
    scorer = dataclasses.replace(detector.scorer, pixel_threshold=None, normal_peaks=())
    old = Detector(detector.measurer, scorer, detector.image_shape)
    path = tmp_path_factory.mktemp("old") / "model.onnx"
    onnx_model.save(onnx_model.build(old, "0" * 64, "blob"), path)
    return path


def random_maps(rng):
    """Maps of many sizes and masks of every density, noisy and smooth."""
    for number in range(1000):
        heat = rng.normal(size=rng.integers(1, 40, 2)).astype(np.float32)
        if number % 3 == 0:
            heat = ndimage.gaussian_filter(heat, rng.uniform(0.5, 2))
        yield heat, heat > np.quantile(heat, rng.uniform())


def test_regions_of_random_maps_equal_scipys_labelling(rng):
    for heat, mask in random_maps(rng):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        regions = find_regions(heat, mask)
        assert len(regions) == count
        for number, region in enumerate(regions, 1):
            left, top, width, height = region["box"]
            rows, columns = np.nonzero(labels == number)
            assert (left, top) == (columns.min(), rows.min())
            assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)
            assert region["area"] == len(rows)
            assert region["percent"] == 100 * len(rows) / mask.size
            assert region["peak"] == heat[labels == number].max()


def test_the_copy_in_the_library_finds_the_same_regions(rng):
    for heat, mask in list(random_maps(rng))[:200]:
        theirs = [list(region) for region in library.find_regions(heat, mask)]
        ours = [[tuple(r["box"]), *list(r.values())[1:]] for r in find_regions(heat, mask)]
        assert ours == theirs


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (5, 7)])
@pytest.mark.parametrize("value", [False, True])
def test_uniform_masks_are_one_region_or_none(shape, value):
    regions = find_regions(np.ones(shape, np.float32), np.full(shape, value))
    size = shape[0] * shape[1]
    whole = {"box": [0, 0, shape[1], shape[0]], "area": size, "percent": 100.0, "peak": 1.0}
    assert regions == [whole] * value


def agrees(regions, explained, number):
    """Whether a runtime's regions are Keras's; peaks are rounded otherwise."""
    expected = explained.regions[number]
    assert len(regions) == len(expected)
    for ours, theirs in zip(regions, expected, strict=True):
        assert tuple(ours["box"]) == theirs.box
        assert (ours["area"], ours["percent"]) == (theirs.area, theirs.percent)
        assert ours["peak"] == pytest.approx(theirs.peak, rel=1e-4)


def test_masks_agree_over_keras_saved_model_and_onnx(
    scorer, saved_model_path, detector, explained, images
):
    some = images[:COUNT]
    served = tf.saved_model.load(str(saved_model_path)).signatures["serve"](images=some)
    np.testing.assert_array_equal(served["mask"], explained.mask)
    found = scorer.score(some, outputs=("mask", "anomaly_map"))
    assert found["mask"].dtype == bool
    np.testing.assert_array_equal(found["mask"], explained.mask)
    for number, pair in enumerate(zip(found["anomaly_map"], found["mask"], strict=True)):
        agrees(find_regions(*pair), explained, number)
    assert scorer.pixel_threshold == np.float32(detector.scorer.pixel_threshold)


def test_lines_of_the_runtime_and_of_the_client_hold_the_same_regions(
    model_path, saved_model_path, folder, explained, capsys
):
    from export.serving.stand_in import serve

    assert main([str(model_path), str(folder), "--jsonl", "--regions", "--quiet"]) == 0
    ours = capsys.readouterr().out
    with serve(saved_model_path) as service:
        assert client_main([str(folder), "--server", service.address, "--regions"]) == 0
    for text in (ours, capsys.readouterr().out):
        records = sorted(map(json.loads, text.splitlines()), key=lambda record: record["path"])
        assert len(records) == COUNT
        for number, record in enumerate(records):
            agrees(record["regions"], explained, number)
            # These files have the model's size.
            assert all(region["file_box"] == region["box"] for region in record["regions"])


def test_without_regions_lines_are_as_before(model_path, folder, capsys):
    main([str(model_path), str(folder), "--jsonl", "--quiet"])
    keys = {key for line in capsys.readouterr().out.splitlines() for key in json.loads(line)}
    assert keys == {"path", "score", "probability", "is_anomaly"}


def test_the_int8_model_keeps_the_promise_with_its_own_peaks(
    detector, model_path, splits, tmp_path
):
    floating = Scorer(model_path)
    plain = onnx_model.convert(detector)
    quantizer = Quantizer(plain, floating.metadata, splits.train.images[:32], tmp_path)
    model = onnx.load(quantizer.write(frozenset()))
    set_metadata(model, floating.metadata)
    onnx.save(model, tmp_path / "int8.onnx")
    int8 = Scorer(tmp_path / "int8.onnx")
    fitted_on = splits.validation  # other images than the threshold was fitted on
    moved = refit_pixel_threshold(int8, floating, fitted_on)
    assert len(moved.normal_peaks) == len(floating.normal_peaks)
    rank = list(floating.normal_peaks).index(floating.pixel_threshold)
    assert moved.value == np.float32(moved.normal_peaks[rank])
    assert moved.value != floating.pixel_threshold


@pytest.mark.parametrize(
    ("resize", "size", "box", "file_box"),
    [
        ("stretch", (40, 20), [0, 0, 10, 10], [0, 0, 40, 20]),
        ("stretch", (40, 20), [2, 3, 1, 2], [8, 6, 4, 4]),
        # 15 / 10: a pixel of the map has parts of two or three of the file.
        ("stretch", (15, 10), [1, 0, 1, 1], [1, 0, 2, 1]),
        # 40x20 lies in rows 2 to 6 of 10, five pixels high.
        ("pad", (40, 20), [0, 2, 10, 5], [0, 0, 40, 20]),
        ("pad", (40, 20), [3, 0, 2, 4], [12, 0, 8, 8]),
        ("pad", (40, 20), [3, 0, 2, 2], None),
        ("pad", (40, 20), [3, 8, 2, 2], None),
    ],
)
def test_boxes_are_given_in_pixels_of_the_file_too(resize, size, box, file_box):
    regions = [{"box": box}]
    add_file_boxes(regions, size, (10, 10), resize)
    assert regions == [{"box": box, "file_box": file_box}]


def test_a_turned_photo_has_boxes_as_it_is_shown(model_path, images, explained, tmp_path):
    number = next(i for i, regions in enumerate(explained.regions) if regions)
    exif = Image.Exif()
    exif[0x112] = 6  # the stored image is shown turned to the right
    stored = np.rot90(images[number, ..., 0], 1).repeat(2, axis=0)
    Image.fromarray(stored).save(tmp_path / "turned.png", exif=exif)
    (record,) = Scorer(model_path).score_files([tmp_path / "turned.png"], regions=True)
    for region in record["regions"]:
        left, top, width, height = region["box"]
        assert region["file_box"] == [2 * left, top, 2 * width, height]


def test_another_pixel_threshold_marks_other_pixels(scorer, folder, images):
    files = sorted(folder.iterdir())
    limit = scorer.pixel_threshold_for(0.5)
    assert limit < scorer.pixel_threshold
    maps = scorer.score(images[:COUNT], outputs=("anomaly_map",))["anomaly_map"]
    records = scorer.score_files(files, regions=True, pixel_threshold=limit)
    areas = [sum(region["area"] for region in record["regions"]) for record in records]
    np.testing.assert_allclose(areas, (maps > limit).sum(axis=(1, 2)), atol=1)


def test_overlays_outline_the_regions(model_path, folder, explained, tmp_path):
    files = sorted(folder.iterdir())
    for record in Scorer(model_path).score_files(files, maps=tmp_path):
        drawn = np.asarray(Image.open(record["map"]))
        number = files.index(type(files[0])(record["path"]))
        lined = (drawn == runtime.OUTLINE).all(axis=-1)
        mask = explained.mask[number]
        assert not lined[~mask].any()
        inner = ndimage.binary_erosion(mask, np.ones((3, 3)))
        np.testing.assert_array_equal(lined, mask & ~inner)


@pytest.mark.parametrize("side", [60, 700])
def test_outlines_are_thicker_on_large_photos(side):
    mask = np.zeros((side, side), bool)
    mask[side // 4 : side // 2, side // 4 : side // 2] = True
    lined = runtime.outline(mask)
    row = lined[3 * side // 8]
    assert row.sum() == 2 * max(1, side // 300)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--regions"], "--regions must go with --jsonl"),
        (["--jsonl", "--pixel-threshold", "1"], "--pixel-threshold must go with --regions or"),
        (["--jsonl", "--regions", "--pixel-threshold", "nan"], "must be a number. Received: nan"),
    ],
)
def test_flags_that_make_no_sense_are_refused(flags, message, model_path, folder, capsys):
    assert main([str(model_path), str(folder), *flags]) == 2
    assert message in capsys.readouterr().err


def test_a_model_of_an_earlier_version_has_no_regions_but_with_a_threshold(
    old_model, folder, images, capsys
):
    assert main([str(old_model), str(folder), "--jsonl", "--regions"]) == 2
    assert "a pixel threshold, for masks and regions" in capsys.readouterr().err
    scorer = Scorer(old_model)
    with pytest.raises(SettingError, match="expected a model with the output mask"):
        scorer.score(images[:1], outputs=("mask",))
    with pytest.raises(SettingError, match="Received: a model of an earlier version"):
        scorer.pixel_threshold_for(0.5)
    assert refit_pixel_threshold(scorer, scorer, None) is None
    flags = ["--jsonl", "--regions", "--pixel-threshold", "1.5", "--quiet"]
    assert main([str(old_model), str(folder), *flags]) == 0
    assert all("regions" in json.loads(line) for line in capsys.readouterr().out.splitlines())
