"""Ours: detectors with every component and random numbers for weights, and the training step."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from export import onnx_model
from export.quantizer import Quantizer
from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.networks import FEATURE_MAPS, Generator, load_efficientnet_lite0
from ganad_tf.plan import Plan, make_plan
from ganad_tf.scoring import Detector
from ganad_tf.scoring.encoder_features import (
    DETAIL_LEVEL,
    LOCAL_LEVELS,
    LOCAL_PROTOTYPES,
    LOCAL_RANK,
    POOLED_LEVELS,
    UNLABELLED_COMPONENTS,
    EncoderFeatures,
    Whitening,
)
from ganad_tf.scoring.feature_distance import (
    LEVELS,
    LOCAL_LEVEL,
    PIXEL_GRID,
    FeatureDistance,
    FeatureDistances,
)
from ganad_tf.scoring.fit_to_part import fit_to_part, measure_part
from ganad_tf.scoring.measure import Measurer
from ganad_tf.settings.names import ALL, GENERATOR_COMPONENTS, NO_ENCODER, PRETRAINED
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.training.build import build_model
from ganad_tf.training.model import DualDiscriminatorGAN

# As many directions, prototypes and nearest ones as `FeatureDistance.fit` has at most.
RANK, PROTOTYPES, NEAREST = 128, 512, 3
# Thresholds and scales are fitted to as many images of noise.
VALIDATION_IMAGES = 24
CALIBRATION_IMAGES = 8
# With at most this size, settings are those of Fashion-MNIST, else those of own images.
SMALL_IMAGES = 32


def make_config(encoder: str, size: int) -> RunConfig:
    """Settings of preset `small` for images of a size, without augmentation."""
    own = {} if size <= SMALL_IMAGES else {"data": "photos", "encoder": encoder}
    return RunConfig(**own, flip=False, shift=0)


def make_detector(encoder: str, size: int, channels: int) -> Detector:
    """A detector whose score is made of every component that needs no label.

    Fitting would take minutes and change no size of any array.

    Args:
        encoder: `none` or the name of the pretrained network.
        size: h, of square images.
        channels: 1 or 3.
    """
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (VALIDATION_IMAGES, size, size, channels), np.uint8)
    kinds = np.zeros(VALIDATION_IMAGES, np.int64)
    part = LabelledImages(images, kinds, ("normal",), frozenset([0]))
    config = make_config(encoder, size)
    decided = make_plan(config, Splits(part, part, part, "normal", "none", "0" * 64))
    generator = Generator(decided.generator_size, channels, config.width, config.refine)
    generator.build()
    randomise(generator, rng)
    plan, features = Plan(score=ALL), None
    if encoder != NO_ENCODER:
        plan = Plan(
            score=PRETRAINED,
            shares=dict.fromkeys((*GENERATOR_COMPONENTS, *UNLABELLED_COMPONENTS), 1.0),
            reasons={"shares": "all, so that all are timed"},
        )
        features = _encoder_features(decided.encoder_size, rng)
    measurer = Measurer(generator, _distances(generator, rng), features)
    scorer = fit_to_part(measurer, part, measure_part(measurer, part), plan, [], {})
    return Detector(measurer, scorer, (size, size, channels))


def _distances(generator: Generator, rng: np.random.Generator) -> FeatureDistances:
    """The distances of a generator's features and of pixels."""
    channels = [step.filters for step in generator.down]

    def distance(inputs: int) -> FeatureDistance:
        rank = min(RANK, inputs)
        whitening, prototypes = _whitening(inputs, rank, rng), _normal((PROTOTYPES, rank), rng)
        return FeatureDistance(whitening.mean, whitening.projection, prototypes, NEAREST)

    return FeatureDistances(
        distance(PIXEL_GRID**2 * generator.channels),
        tuple(distance(4 * channels[level]) for level in LEVELS),
        distance(channels[LOCAL_LEVEL]),
    )


def _encoder_features(image_size: int, rng: np.random.Generator) -> EncoderFeatures:
    """The distances of the pretrained encoder's features."""
    channels = [one.channels for one in FEATURE_MAPS]
    pooled = 2 * sum(channels[level] for level in POOLED_LEVELS)
    details = channels[DETAIL_LEVEL]
    return EncoderFeatures(
        load_efficientnet_lite0(),
        image_size,
        whole_size=image_size,
        pooled=_whitening(pooled, pooled, rng),
        local=_whitening(sum(channels[level] for level in LOCAL_LEVELS), LOCAL_RANK, rng),
        prototypes=_normal((LOCAL_PROTOTYPES, LOCAL_RANK), rng),
        details=_whitening(details, details, rng),
        direction=None,
    )


def _whitening(inputs: int, rank: int, rng: np.random.Generator) -> Whitening:
    return Whitening(
        _normal((inputs,), rng), _normal((inputs, rank), rng) / np.float32(inputs**0.5)
    )


def _normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(shape, np.float32)


def randomise(network: keras.Model, rng: np.random.Generator) -> None:
    """Weights as after some training: no bias or statistic is the 0 or 1 that it starts from."""
    for variable in network.weights:
        shape = variable.shape
        if len(shape) > 1:  # keeps the scale of its input
            values = rng.normal(0, np.prod(shape[:-1]) ** -0.5, shape)
        elif variable.name in ("gamma", "moving_variance"):
            values = rng.uniform(0.5, 1.5, shape)
        else:
            values = rng.normal(0, 0.1, shape)
        variable.assign(values.astype(np.float32))


def export(detector: Detector, folder: Path) -> dict[str, Path]:
    """Writes the float32 and the int8 model; returns their files by name.

    Everything that can be is in int8. An export of a run measures its accuracy and may keep some
    operators in float32.
    """
    plain = onnx_model.convert(detector)
    fast = onnx_model.finish(plain, detector, "0" * 64, "normal")
    files = {"float32": folder / "model.onnx", "int8": folder / "model.int8.onnx"}
    onnx_model.save(fast, files["float32"])
    metadata = {entry.key: entry.value for entry in fast.metadata_props}
    shape = (CALIBRATION_IMAGES, *detector.image_shape)
    images = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    with tempfile.TemporaryDirectory() as name:
        Quantizer(plain, metadata, images, Path(name)).write(frozenset()).rename(files["int8"])
    return files


def make_trained(
    config: RunConfig, size: int, channels: int
) -> tuple[DualDiscriminatorGAN, Plan, Callable[[tf.Tensor], dict[str, tf.Tensor]]]:
    """Our model, its plan, and the step that `fit` runs.

    The step takes a batch of `config.batch_size` images, half of them normal.
    """
    plan = Plan(generator_size=size)
    model = build_model(config, plan, channels)

    @tf.function
    def step(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        half = config.batch_size // 2
        return model.train_step({"normal": batch[:half], "anomaly": batch[half:]})

    return model, plan, step
