import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.errors import ArtefactError, DataError, UsageError
from ganad_tf.networks import Generator
from ganad_tf.plan import Plan
from ganad_tf.scoring import Detector, fit_detector, fit_to_part
from ganad_tf.settings.names import ENCODER_FEATURES


def labelled(rng, count):
    kinds = np.arange(count) % 2
    images = rng.integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)
    images[kinds == 1] //= 4
    return LabelledImages(images, kinds.astype(np.int64), ("good", "bad"), frozenset({0}))


@pytest.fixture(scope="module")
def detector():
    rng = np.random.default_rng(0)
    generator = Generator(32, 1, width=2)
    generator.build()
    train, validation = labelled(rng, 80), labelled(rng, 60)
    splits = Splits(train, validation, validation, "good", "seen", "0" * 64)
    return fit_detector(generator, splits, Plan(score="all"))


@given(st.permutations(range(12)), st.integers(1, 12))
@settings(max_examples=20, deadline=None)
def test_scores_do_not_depend_on_the_other_images_nor_on_their_order(detector, order, size):
    images = labelled(np.random.default_rng(1), 12).images
    together = detector.run(images)["score"]
    shuffled = detector.run(images[order], batch_size=size)["score"]
    np.testing.assert_allclose(shuffled, together[order], atol=1e-6)


def test_outputs_have_the_promised_names_shapes_and_types(detector, rng):
    outputs = detector.graph(labelled(rng, 3).images)
    shapes = {name: (value.dtype.name, tuple(value.shape)) for name, value in outputs.items()}
    assert shapes == {
        "score": ("float32", (3,)),
        "probability": ("float32", (3,)),
        "is_anomaly": ("bool", (3,)),
        "anomaly_map": ("float32", (3, 28, 28)),
        "mask": ("bool", (3, 28, 28)),
        "reconstruction": ("uint8", (3, 28, 28, 1)),
    }


def test_decisions_follow_from_score_and_threshold(detector, rng):
    results = detector.run(labelled(rng, 40).images)
    decided = results["score"] > detector.scorer.threshold
    np.testing.assert_array_equal(results["is_anomaly"], decided)


def test_normal_images_stay_cool_on_the_anomaly_map(detector):
    rng = np.random.default_rng(0)
    labelled(rng, 80)  # those that it was fitted on, as in the fixture; the next are validation
    normal = labelled(rng, 60).images[::2]
    maps = detector.run(normal, outputs=("anomaly_map",))["anomaly_map"]
    assert 0.2 < np.quantile(maps, 0.999) < 1.1
    assert np.median(maps) < 0.8


@pytest.fixture(scope="module")
def old_detector(detector):
    """As of an earlier version, without a pixel threshold."""
    scorer = dataclasses.replace(detector.scorer, pixel_threshold=None, normal_peaks=())
    return Detector(detector.measurer, scorer, detector.image_shape)


def test_the_pixel_threshold_is_the_conformal_one_of_the_largest_map_values(detector):
    rng = np.random.default_rng(0)
    labelled(rng, 80)  # those that it was fitted on, as in the fixture; the next are validation
    normal = labelled(rng, 60).images[::2]
    maps = detector.run(normal, outputs=("anomaly_map",))["anomaly_map"]
    peaks, scorer = np.sort(maps.max(axis=(1, 2))), detector.scorer
    np.testing.assert_allclose(scorer.normal_peaks, peaks, rtol=1e-5)
    # 30 images promise 5 % with the 30th smallest.
    assert scorer.pixel_threshold == scorer.normal_peaks[29]
    assert scorer.explanation["pixel_threshold"].startswith("at most 5.00% of normal images")


def test_maps_that_do_not_fit_into_memory_give_the_same_peaks(detector, monkeypatch):
    rng = np.random.default_rng(0)
    train, validation = labelled(rng, 80), labelled(rng, 60)
    splits = Splits(train, validation, validation, "good", "seen", "0" * 64)
    monkeypatch.setattr(fit_to_part, "MAX_MAP_PIXELS", 29 * 28 * 28)
    few = fit_detector(detector.generator, splits, Plan(score="all")).scorer
    assert len(few.normal_peaks) == 30
    # The scale of the maps rests on 29 of the 30 images.
    np.testing.assert_allclose(few.normal_peaks, detector.scorer.normal_peaks, rtol=0.1)


def test_an_explanation_marks_pixels_above_the_threshold_and_lists_their_regions(detector, rng):
    limit = detector.scorer.normal_peaks[0]  # most normal images have a marked pixel then
    scorer = dataclasses.replace(detector.scorer, pixel_threshold=limit)
    eager = Detector(detector.measurer, scorer, detector.image_shape)
    found = eager.explain(labelled(rng, 12).images)
    assert found.mask.any()
    np.testing.assert_array_equal(found.mask, found.anomaly_map > np.float32(limit))
    for mask, heat, regions in zip(found.mask, found.anomaly_map, found.regions, strict=True):
        assert sum(region.area for region in regions) == mask.sum()
        assert max((region.peak for region in regions), default=0) == heat[mask].max(initial=0)


def test_a_detector_of_an_earlier_version_explains_without_a_mask(old_detector, tmp_path, rng):
    old_detector.save(tmp_path / "detector")
    images = labelled(rng, 3).images
    for detector in (old_detector, Detector.load(tmp_path)):
        assert detector.explain(images).mask is None
        assert "mask" not in detector.graph(images)
    with pytest.raises(ArtefactError, match=r"pixel threshold for `mask`.*Received: one of an ear"):
        old_detector.run(images, outputs=("mask",))


def test_a_saved_detector_scores_the_same(detector, tmp_path, rng):
    detector.save(tmp_path / "detector")
    images = labelled(rng, 20).images
    for folder in (tmp_path / "detector", tmp_path):
        loaded = Detector.load(folder)
        np.testing.assert_array_equal(loaded.run(images)["score"], detector.run(images)["score"])


def test_saving_replaces_a_detector_and_nothing_else(detector, tmp_path):
    (tmp_path / "run").mkdir()
    detector.save(tmp_path / "run" / "detector")
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(UsageError, match=r"new, empty or a saved detector's.*run, which holds con"):
        detector.save(tmp_path / "run")
    with pytest.raises(UsageError, match=r"Received: .*config\.json, a file"):
        detector.save(tmp_path / "run" / "config.json")
    assert (tmp_path / "run" / "config.json").read_text() == "{}"
    (tmp_path / "new").mkdir()
    detector.save(tmp_path / "new")
    detector.save(tmp_path / "new")
    Detector.load(tmp_path / "new")


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 28, 28, 1), np.float32),
        np.zeros((2, 32, 32, 1), np.uint8),
        np.zeros((28, 28, 1), np.uint8),
        np.zeros((0, 28, 28, 1), np.uint8),
        [[1, 2]],
    ],
)
def test_images_of_another_form_are_refused(detector, images):
    with pytest.raises(DataError, match=r"uint8 \[N, 28, 28, 1\].*Received: "):
        detector.run(images)


@pytest.mark.parametrize("file", ["generator.keras", "scorer.json", "scorer.npz"])
@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_damaged_files_are_named(detector, tmp_path, file, damage):
    detector.save(tmp_path / "detector")
    path = tmp_path / "detector" / file
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    with pytest.raises(ArtefactError, match="detector"):
        Detector.load(tmp_path)


def test_a_detector_without_the_encoder_that_its_score_needs_is_named(detector, tmp_path):
    part = dataclasses.replace(detector.scorer.components[0], name=ENCODER_FEATURES)
    scorer = dataclasses.replace(detector.scorer, components=(part,))
    Detector(detector.measurer, scorer, detector.image_shape).save(tmp_path / "detector")
    with pytest.raises(ArtefactError, match=r"expected encoder.npz .* measure encoder_features"):
        Detector.load(tmp_path)


def test_scores_are_of_true_float32_whoever_makes_the_detector(detector, tmp_path):
    detector.save(tmp_path / "detector")
    tf.config.experimental.enable_tensor_float_32_execution(True)
    Detector.load(tmp_path)
    assert not tf.config.experimental.tensor_float_32_execution_enabled()
