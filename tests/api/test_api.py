"""Training and scoring from Python, without a run folder."""

import contextlib
import io
import logging
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

import ganad_tf
from export.runtime import Scorer
from ganad_tf import Detector, GANAnomalyDetector
from ganad_tf.errors import DataError, UsageError

TINY = {
    **{"steps_per_epoch": 2, "batch_size": 4, "width": 2, "discriminator_width": 2},
    "encoder": "none",
}


def make(count, seed=0):
    """Grey images, every third with a bright square; labels; masks."""
    rng = np.random.default_rng(seed)
    images = rng.integers(90, 110, (count, 32, 32), dtype=np.uint8)
    labels = (np.arange(count) % 3 == 2).astype(int)
    masks = np.zeros(images.shape, bool)
    masks[labels == 1, 8:16, 8:16] = True
    images[masks] = 255
    return images, labels, masks


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A detector; what training left in the temporary folder, printed and logged."""
    folder, printed = tmp_path_factory.mktemp("temporary"), io.StringIO()
    logged, logger = [], logging.getLogger("ganad_tf")
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage())
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr("tempfile.tempdir", str(folder))
        patch.setattr(logger, "level", logging.INFO)
        patch.setattr(logger, "handlers", [handler])
        detector = ganad_tf.train(*make(60), epochs=1, image_size=32, **TINY)
    # TensorFlow keeps some generated files there until the process ends.
    left = list(folder.glob("ganad*"))
    return detector, left, printed.getvalue(), "\n".join(logged)


@pytest.fixture
def detector(trained):
    return trained[0]


def test_higher_is_more_anomalous_and_decisions_follow_the_threshold(detector):
    images, labels, _ = make(30, seed=1)
    scores = detector.score_samples(images)
    assert roc_auc_score(labels, scores) > 0.9
    np.testing.assert_array_equal(
        detector.decision_function(images), scores - np.float32(detector.scorer.threshold)
    )
    decisions = detector.predict(images)
    assert decisions.dtype == np.int64
    np.testing.assert_array_equal(decisions, detector.decision_function(images) > 0)
    np.testing.assert_array_equal(
        decisions, detector.run(images[..., None], outputs=("is_anomaly",))["is_anomaly"]
    )


def test_images_of_any_size_and_form_are_taken(detector):
    images, _, _ = make(4, seed=1)
    expected = detector.score_samples(images)
    np.testing.assert_allclose(detector.score_samples(list(images)), expected, atol=1e-6)
    twice = images.repeat(2, axis=1).repeat(2, axis=2)
    assert detector.score_samples([*twice, images[0]]).shape == (5,)
    with pytest.raises(DataError, match="one image needs another axis"):
        detector.predict(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(DataError, match="at least one"):
        detector.predict(images[:0])


def test_explanations_show_the_defect(detector):
    images, _, masks = make(30, seed=1)
    heat, reconstruction, *_ = detector.explain(images[2:3])
    assert (heat.shape, reconstruction.shape) == ((1, 32, 32), (1, 32, 32, 1))
    assert heat[masks[2:3]].mean() > heat[~masks[2:3]].mean()


def test_the_exported_file_gives_the_same_scores(detector, tmp_path):
    images = make(30, seed=1)[0]
    detector.export(tmp_path / "new" / "model.onnx")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.onnx"]
    result = Scorer(tmp_path / "new" / "model.onnx").score(images[..., None])
    np.testing.assert_allclose(result["score"], detector.score_samples(images), atol=1e-4)
    np.testing.assert_array_equal(result["is_anomaly"], detector.predict(images))


def test_a_path_of_another_kind_is_refused(detector, tmp_path):
    (tmp_path / "model.pb").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"path must end in \.onnx or be a folder"):
        detector.export(tmp_path / "model.pb")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pb"]


def test_a_saved_detector_is_the_same(detector, tmp_path):
    detector.save(tmp_path / "detector")
    images = make(9, seed=1)[0]
    loaded = Detector.load(tmp_path / "detector")
    np.testing.assert_array_equal(loaded.predict(images), detector.predict(images))


def test_nothing_is_left_behind_nor_printed(trained):
    _, left, printed, logged = trained
    assert (left, printed) == ([], "")
    assert "epoch" in logged


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ((make(9)[0],), {"epoch": 1}, r"did you mean epochs\?"),
        ((make(9)[0],), {"normal": "7"}, "settings must be among .*Received: normal"),
        ((make(9)[0],), {"split": "split.csv"}, "Received: split"),
        ((make(9)[0],), {"epochs": 0}, "--epochs must be at least 1"),
        ((make(9)[0],), {"max_false_alarms": 0.001}, "--max-false-alarms must be at least"),
        (("folder", [0, 1]), {}, "labels and masks must be None with a folder"),
    ],
)
def test_wrong_arguments_are_named(arguments, settings, message):
    with pytest.raises(UsageError, match=message):
        ganad_tf.train(*arguments, **settings)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        ganad_tf.train(tmp_path / "nowhere", **TINY)


def test_the_library_is_imported_without_tensorflow():
    code = "import sys, ganad_tf; ganad_tf.train, ganad_tf.RunConfig; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert not {"tensorflow", "keras", "sklearn"} & set(result.stdout.split())
    assert set(ganad_tf.__all__) == {"__version__", *ganad_tf._PUBLIC}


def test_it_can_be_cross_validated_and_is_part_of_pipelines():
    images, labels, _ = make(36)
    estimator = make_pipeline(
        FunctionTransformer(lambda images: 255 - images),
        GANAnomalyDetector(epochs=1, image_size=32, settings=TINY),
    )
    aurocs = cross_val_score(estimator, images, labels, scoring="roc_auc", cv=2)
    assert aurocs.shape == (2,)
    assert np.isfinite(aurocs).all()


@pytest.fixture
def fitted(detector, monkeypatch):
    """An estimator that was given the detector above, instead of training another."""
    images, labels, masks = make(60)

    def train(*arguments, **settings):
        assert all(one is two for one, two in zip(arguments, (images, labels, masks), strict=True))
        assert settings == {
            **{"epochs": 1, "image_size": 32, "max_false_alarms": 0.1, "seed": 3},
            **{"validation_fraction": 0.2, **TINY},
        }
        return detector

    monkeypatch.setattr("ganad_tf.estimator.train", train)
    estimator = GANAnomalyDetector(1, 32, 0.1, 0.2, 3, TINY)
    return estimator.fit(images, labels, masks=masks)


def test_the_estimator_gives_what_its_detector_gives(fitted):
    images, labels, _ = make(30, seed=1)
    detector = fitted.detector_
    np.testing.assert_array_equal(fitted.predict(images), detector.predict(images))
    np.testing.assert_array_equal(fitted.score_samples(images), detector.score_samples(images))
    np.testing.assert_array_equal(
        fitted.decision_function(images), fitted.score_samples(images) - fitted.threshold_
    )
    probabilities = fitted.predict_proba(images)
    assert probabilities.shape == (30, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert fitted.score(images, labels) == np.mean(fitted.predict(images) == labels)
    assert fitted.classes_.tolist() == [0, 1]


def test_an_estimator_that_is_not_fitted_says_so():
    with pytest.raises(NotFittedError):
        GANAnomalyDetector().predict(make(3)[0])


@pytest.mark.parametrize("name", ["seed", "epochs"])
def test_a_setting_that_an_estimator_has_twice_is_named(name):
    with pytest.raises(UsageError, match=f"Received: {name}$"):
        GANAnomalyDetector(settings={name: 1}).fit(*make(3))


# Those of scikit-learn's checks that feed no table of numbers.
@pytest.mark.parametrize(
    "check",
    [
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_get_params_invariance",
        "check_set_params",
        "check_do_not_raise_errors_in_init_or_set_params",
        "check_valid_tag_types",
        "check_estimator_tags_renamed",
    ],
)
def test_the_estimator_keeps_sklearns_conventions(check):
    getattr(estimator_checks, check)("GANAnomalyDetector", GANAnomalyDetector())
    assert clone(GANAnomalyDetector(epochs=3)).epochs == 3
