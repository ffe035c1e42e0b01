"""Shapes, sizes and round trips of generator and discriminator."""

import keras
import numpy as np
import pytest

from ganad_tf.networks import Discriminator, Generator


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (48, 3), (128, 3)])
def test_the_generator_returns_an_image_and_its_bottleneck(size, channels):
    generator = Generator(size, channels, width=2)
    reconstruction, features, logit = generator(np.zeros((2, size, size, channels), "f"))
    assert reconstruction.shape == (2, size, size, channels)
    assert features.shape == (2, size // 16, size // 16, 16)
    assert logit.shape == (2,)


def test_the_paper_width_has_the_published_number_of_weights():
    generator = Generator(32, 1, width=64)
    generator.build()
    assert round(generator.count_params() / 1e6, 1) == 6.2


def test_reconstructions_lie_in_the_range_of_images(rng):
    generator = Generator(32, 1, width=2)
    reconstruction, _, _ = generator(rng.uniform(-1, 1, (2, 32, 32, 1)).astype("f"))
    assert np.abs(reconstruction).max() <= 1


def test_the_discriminator_judges_the_image_and_a_4x4_map():
    image, patches = Discriminator(32, 1, width=2)(np.zeros((3, 32, 32, 1), "f"))
    assert image.shape == (3,)
    assert patches.shape == (3, 4, 4)


def test_weights_start_from_a_narrow_normal_distribution_and_differ_between_layers():
    generator = Generator(32, 1, width=64)
    generator.build()
    deep, shallow = generator.down[3].convolution.kernel, generator.down[2].convolution.kernel
    assert np.std(deep) == pytest.approx(0.02, rel=0.02)
    assert not np.array_equal(np.ravel(deep)[:100], np.ravel(shallow)[:100])


@pytest.mark.parametrize("network", [Generator(32, 1, 2, refine=True), Discriminator(32, 1, 2)])
def test_networks_survive_saving_in_safe_mode(network, tmp_path, rng):
    images = rng.uniform(-1, 1, (2, 32, 32, 1)).astype("f")
    expected = network(images)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras", safe_mode=True)
    for ours, theirs in zip(expected, loaded(images), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("arguments", [{"image_size": 40}, {"channels": 2}, {"image_size": 0}])
@pytest.mark.parametrize("network", [Generator, Discriminator])
def test_impossible_shapes_are_refused_by_name(network, arguments):
    name, value = next(iter(arguments.items()))
    with pytest.raises(ValueError, match=f"`{name}`.*Received: {name}={value}"):
        network(**arguments)
