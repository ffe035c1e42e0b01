"""What a configuration and a plan make of the model."""

from ganad_tf.plan import Plan
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
