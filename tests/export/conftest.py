"""A tiny run, untrained but fitted, that stands for a finished one in every export test."""

import os

os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import keras
import numpy as np
import pytest

from export import onnx_model, saved_model
from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.networks import Generator, load_efficientnet_lite0
from ganad_tf.plan import Plan
from ganad_tf.scoring import Detector, fit_detector
from ganad_tf.scoring.fit_detector import fitted_normals
from ganad_tf.scoring.fit_encoder import fit_encoder_features
from ganad_tf.settings.names import ENCODER_FEATURES, LABEL_DIRECTION, PRETRAINED


def make_images(count: int, shape=(28, 28, 1), seed: int = 0) -> LabelledImages:
    """Half smooth blobs (normal), half of them with a bright square (anomalous)."""
    rng = np.random.default_rng(seed)
    height, width, channels = shape
    y, x = np.mgrid[:height, :width]
    centre = rng.uniform(0.3, 0.7, (count, 2, 1, 1)) * [[[height]], [[width]]]
    distance = (y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2
    images = 200 * np.exp(-distance / (0.05 * height * width))
    kinds = np.arange(count) % 2
    for image in images[kinds == 1]:
        top, left = rng.integers(0, height - 8), rng.integers(0, width - 8)
        image[top : top + 8, left : left + 8] = 255
    images = np.repeat(images[..., None], channels, axis=-1) + rng.uniform(0, 20, (count, *shape))
    return LabelledImages(
        np.clip(images, 0, 255).astype(np.uint8),
        kinds.astype(np.int64),
        ("blob", "square"),
        frozenset([0]),
    )


def make_detector(
    shape=(28, 28, 1), image_size=32, score="all", validation=120, **generator
) -> Detector:
    """A detector around a generator of random weights and random batch statistics."""
    keras.utils.set_random_seed(0)
    network = Generator(image_size, shape[-1], **{"width": 4, "refine": True, **generator})
    network.build()
    rng = np.random.default_rng(0)
    for variable in network.variables:
        shape_of = variable.shape
        if variable.path.endswith(("moving_variance", "gamma")):
            variable.assign(rng.uniform(0.5, 1.5, shape_of))
        elif variable.path.endswith(("moving_mean", "beta", "bias")):
            variable.assign(rng.normal(0, 0.1, shape_of))
        else:
            # Large enough that activations, and so scores, differ between images.
            variable.assign(rng.normal(0, 1.4 / np.sqrt(np.prod(shape_of[:3])), shape_of))
    held_out = make_images(validation, shape, seed=1)
    # Without anomalies this score weighs all its components alike, so that each is tested.
    normals = held_out.subset(np.flatnonzero(~held_out.is_anomaly))
    return fit_detector(
        network, make_splits(make_images(120, shape), normals, normals), Plan(score=score)
    )


def make_splits(train: LabelledImages, validation: LabelledImages, test: LabelledImages) -> Splits:
    return Splits(train, validation, test, "blob", "seen", "0" * 64)


@pytest.fixture(scope="session")
def detector() -> Detector:
    return make_detector()


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Test images of the tiny run, uint8 [200, 28, 28, 1]."""
    return make_images(200, seed=2).images


@pytest.fixture(scope="session")
def splits() -> Splits:
    # Validation with more than 100 of each class: int8 then goes by decisions and the AUROC.
    train, validation, test = (make_images(count, seed=count) for count in (120, 220, 200))
    return make_splits(train, validation, test)


@pytest.fixture(scope="session")
def model_path(detector, tmp_path_factory):
    """The tiny run as model.onnx."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    onnx_model.save(onnx_model.build(detector, "0" * 64, "blob"), path)
    return path


@pytest.fixture(scope="session")
def saved_model_path(detector, tmp_path_factory):
    """The tiny run as a SavedModel, version 1."""
    folder = tmp_path_factory.mktemp("serving") / "saved_model" / "1"
    saved_model.write(detector, folder, {"threshold": detector.scorer.threshold}, "ganad")
    return folder


@pytest.fixture(scope="session")
def colour_data():
    """Splits of 32 pixels with one labelled anomaly of sixty; squares are anomalies."""
    shape = (32, 32, 3)
    train, validation, test = (make_images(120, shape, seed) for seed in (5, 6, 7))
    kept = np.flatnonzero(~train.is_anomaly).tolist()
    hidden = np.flatnonzero(train.is_anomaly)
    one = train.subset([*kept, hidden[0]])
    normals = validation.subset(np.flatnonzero(~validation.is_anomaly))
    return make_splits(one, normals, test), np.asarray(train.images[hidden[1:]])


@pytest.fixture(scope="session")
def encoder_plan():
    """A score of frozen features, and of the direction to one labelled anomaly."""
    return Plan(
        n_labelled=1,
        all_kinds_known=False,  # as on own images
        learns_masks=True,  # so the generator has no part in the score
        score=PRETRAINED,
        encoder="efficientnet_lite0",
        encoder_size=32,
        layout_share=0.5,
        layout_auroc={ENCODER_FEATURES: 0.9, "encoder_patches": 0.5, "pixels": 0.5},
        shares={ENCODER_FEATURES: 1.0, LABEL_DIRECTION: 0.5},
        reasons={"shares": "chosen for this test"},
    )


@pytest.fixture(scope="session")
def encoder():
    return load_efficientnet_lite0()


def fit_with_encoder(encoder, generator, splits, plan) -> Detector:
    normals = fitted_normals(splits.train, plan.seed)
    features = fit_encoder_features(encoder, splits.train, normals, plan.encoder_size, plan.seed)
    return fit_detector(generator, splits, plan, features)


@pytest.fixture(scope="session")
def colour_generator():
    network = Generator(32, 3, width=4, refine=True)
    network.build()
    return network


@pytest.fixture(scope="session")
def with_encoder(encoder, colour_generator, colour_data, encoder_plan):
    """A detector whose score rests on a pretrained encoder; one anomaly was labelled."""
    return fit_with_encoder(encoder, colour_generator, colour_data[0], encoder_plan)
