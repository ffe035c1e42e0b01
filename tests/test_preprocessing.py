"""From stored pixels to the network's input and back."""

import numpy as np
import pytest

from ganad_tf.preprocessing import crop, enlarge, to_encoder, to_image, to_network, to_pixels


def test_black_is_minus_one_and_white_is_one(rng):
    images = rng.integers(0, 256, (2, 32, 32, 3), np.uint8)
    images[0, 0, 0], images[0, 0, 1] = 0, 255
    result = to_network(images, 32).numpy()
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result[0, 0, :2], [[-1] * 3, [1] * 3])
    np.testing.assert_allclose(result, images / 127.5 - 1, atol=1e-6)


def test_smaller_images_stand_in_the_middle_of_black(rng):
    images = rng.integers(1, 256, (1, 28, 26, 1), np.uint8)
    result = to_network(images, 32).numpy()
    assert result.shape == (1, 32, 32, 1)
    np.testing.assert_allclose(result[:, 2:30, 3:29], images / 127.5 - 1, atol=1e-6)
    result[:, 2:30, 3:29] = -1
    assert (result == -1).all()


def test_what_was_padded_is_cropped_again(rng):
    images = rng.integers(0, 256, (2, 28, 27, 1), np.uint8)
    network = to_network(images, 32)
    np.testing.assert_array_equal(to_pixels(crop(network, 28, 27)), images)
    np.testing.assert_array_equal(to_pixels(to_image(network, 28, 27)), images)


def test_larger_images_are_averaged_over_blocks(rng):
    images = rng.integers(0, 256, (2, 64, 64, 1), np.uint8)
    blocks = images.reshape(2, 32, 2, 32, 2, 1).mean(axis=(2, 4))
    np.testing.assert_allclose(to_network(images, 32), blocks / 127.5 - 1, atol=1e-5)
    assert to_image(to_network(images, 32), 64, 64).shape == (2, 64, 64, 1)


@pytest.mark.parametrize("shape", [(40, 40), (64, 32), (33, 20)])
def test_images_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match=f"Received: {shape[0]}x{shape[1]}"):
        to_network(np.zeros((1, *shape, 1), np.uint8), 32)


def test_every_pixel_value_survives_the_network_s_range():
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    np.testing.assert_array_equal(to_pixels(to_network(images, 16)), images)


def test_pixels_are_rounded_not_cut():
    values = np.float32([-1, 1, 0, 2 * 9.9 / 255 - 1, 2 * 9.1 / 255 - 1])
    assert to_pixels(values).numpy().tolist() == [0, 255, 128, 10, 9]


def test_an_enlarged_map_keeps_its_range_and_its_sides(rng):
    maps = rng.random((2, 4, 4)).astype(np.float32)
    result = enlarge(maps, 32).numpy()
    assert result.shape == (2, 32, 32)
    assert maps.min() <= result.min() <= result.max() <= maps.max()
    assert (result[:, 0, 0] == maps[:, 0, 0]).all()


def test_the_encoder_sees_images_of_its_own_size_as_they_are(rng):
    images = rng.integers(0, 256, (1, 32, 32, 3), np.uint8)
    np.testing.assert_allclose(to_encoder(images, 32), images / 127.5 - 1, atol=1e-6)
    enlarged = to_encoder(images, 64).numpy()
    assert enlarged.shape == (1, 64, 64, 3)
    assert -1 <= enlarged.min() <= enlarged.max() <= 1
