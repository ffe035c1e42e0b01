import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.errors import ArtefactError, DataError
from ganad_tf.networks import Generator
from ganad_tf.plan import Plan
from ganad_tf.scoring import Detector, fit_detector


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


def test_a_saved_detector_scores_the_same(detector, tmp_path, rng):
    detector.save(tmp_path / "detector")
    images = labelled(rng, 20).images
    for folder in (tmp_path / "detector", tmp_path):
        loaded = Detector.load(folder)
        np.testing.assert_array_equal(loaded.run(images)["score"], detector.run(images)["score"])


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
