"""The benchmark of encoder designs: a frozen network inside the generator."""

import json

import numpy as np
import pytest

from benchmarks import own_images_tables, results_file
from benchmarks.pretrained_unet import PretrainedUNet, SharedFeatures, put_inside
from ganad_tf.networks import EfficientNetLite0
from ganad_tf.plan import Plan
from ganad_tf.scoring.encoder_features import EncoderFeatures
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.training.build import build_model


@pytest.fixture(scope="module")
def encoder():
    """Random weights: what is tested here holds for any."""
    network = EfficientNetLite0()
    network.build()
    return network


@pytest.fixture(scope="module")
def unet(encoder):
    network = PretrainedUNet(encoder, image_size=64, channels=1, width=2)
    network.build()
    return network


@pytest.fixture
def images(rng):
    return rng.uniform(-1, 1, (2, 64, 64, 1)).astype(np.float32)


def test_the_frozen_network_is_the_encoder(unet, encoder, images):
    reconstruction, features, logit = unet(images, training=False)
    assert reconstruction.shape == (2, 64, 64, 1)
    assert logit.shape == (2,)
    np.testing.assert_allclose(features, encoder.feature_maps(images)[-1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(unet.encode(images), features, rtol=1e-5, atol=1e-6)


def test_all_maps_begin_with_stride_two(unet, encoder, images):
    finest, *others = encoder.all_maps(images)
    assert finest.shape == (2, 32, 32, 16)
    for found, expected in zip(others, encoder.feature_maps(images), strict=True):
        np.testing.assert_array_equal(found, expected)
    sides = [features.shape[1] for features in unet.encoder_maps(images)]
    assert sides == [16, 8, 4, 2, 32]


def test_one_pass_serves_the_generator_and_the_components_of_the_encoder(unet, encoder, images):
    fitted = EncoderFeatures(encoder, 64, 64, *[None] * 5)
    shared = SharedFeatures(**vars(fitted), generator=unet)
    unet.encoder_maps(images)
    for found, expected in zip(shared.maps(None), encoder.feature_maps(images), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_training_step_changes_the_decoder_and_not_the_encoder(encoder, rng):
    config = RunConfig(width=2, discriminator_width=2, batch_size=4, learning_rate=0.1)
    model = put_inside(build_model(config, Plan(generator_size=32), 1), encoder)
    before = encoder.get_weights()
    generator = model.generator
    decoder = [layer.get_weights() for layer in (*generator.up, generator.head)]
    averaged = model.averaged_generator.head.get_weights()
    batch = {
        name: rng.integers(0, 256, (2, 32, 32, 1), dtype=np.uint8) for name in ("normal", "anomaly")
    }
    model.train_step(batch)
    for old, new in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    after = [layer.get_weights() for layer in (*generator.up, generator.head)]
    for old, new in zip(decoder, after, strict=True):
        assert not np.array_equal(old[0], new[0])
    assert not np.array_equal(averaged[0], model.averaged_generator.head.get_weights()[0])


def design(auroc, factor=1.0):
    return {
        "components": dict.fromkeys(("reconstruction", "patch", "max_error", "features"), auroc),
        "joined": {"generator": auroc, "encoder": auroc + 0.01, "default": auroc + 0.02},
        "step_cpu_seconds": 1.5 * factor,
        "score_cpu_seconds": 0.2 * factor,
        "megabytes": 20 * factor,
    }


def test_the_table_compares_both_designs(tmp_path, monkeypatch):
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    assert own_images_tables.designs_table() == "Not measured yet."
    designs = {"inside": design(0.7, 2), "beside": design(0.8), "beside_128": design(0.75)}
    path = tmp_path / "encoder_designs-gravel.json"
    path.write_text(json.dumps({"cell": "gravel", "designs": designs}))
    table = own_images_tables.designs_table()
    assert "| gravel, inside | 0.700 | 0.700 | 0.700 | 0.700 | 0.700 | 0.710 | 0.720 |" in table
    assert "| gravel, beside | 0.800 | 0.800 | 0.800 | 0.800 | 0.800 | 0.810 | 0.820 |" in table
    assert "solar" not in table
    assert "2.0 times the CPU time of a training step, 2.0 times that of a scored image" in table
    assert "the last column is 0.770 then" in table
