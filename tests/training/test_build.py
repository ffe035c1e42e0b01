"""What a configuration and a plan make of the model."""

import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.plan import Plan
from ganad_tf.settings.names import SYNTHETIC_KINDS
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.training.build import build_model, scoring_generator

SMALL = {"width": 2, "discriminator_width": 2}


def test_training_images_are_rotated_only_if_asked_for():
    own = RunConfig(data="photos", **SMALL)
    assert not build_model(own, Plan(), 1).training_images.augmentation.rotation
    rotated = RunConfig(data="photos", random_rotation=True, **SMALL)
    assert build_model(rotated, Plan(), 1).training_images.augmentation.rotation


def test_the_plan_decides_on_synthetic_anomalies():
    plan = Plan(synthetic_share=0.25, synthetic_kinds=("rotate",))
    made = build_model(RunConfig(**SMALL), plan, 3).training_images
    assert (made.synthetic_share, made.synthetic_kinds) == (0.25, ("rotate",))


def test_the_generator_that_scores_is_float32_whatever_was_trained():
    model = build_model(RunConfig(**SMALL), Plan(), 1, "mixed_bfloat16")
    generator = scoring_generator(model)
    assert generator.compute_dtype == "float32"
    assert not generator.trainable
    assert len(generator.get_weights()) == len(model.averaged_generator.get_weights())


@pytest.mark.slow
def test_the_whole_step_of_own_images_is_compiled_by_xla_as_on_a_gpu():
    config = RunConfig(data="photos", image_size=32, encoder="none", batch_size=4, **SMALL)
    plan = Plan(n_labelled=2, n_masked=1, synthetic_share=0.5, synthetic_kinds=SYNTHETIC_KINDS)
    model = build_model(config, plan, 1, "mixed_float16")
    model.jit_compile = True
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1), dtype=np.uint8)
    masks = np.full((2, 32, 32, 1), 255, np.uint8)
    masks[0, :, 10:] = 0
    batch = {"normal": images, "anomaly": images, "mask": masks}
    log = model.fit(tf.data.Dataset.from_tensors(batch).repeat(2), verbose=0, shuffle=False)
    assert all(np.isfinite(values).all() for values in log.history.values())
