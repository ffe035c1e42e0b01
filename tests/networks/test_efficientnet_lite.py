"""EfficientNet-Lite0 with its published weights: golden features, photographs, shapes."""

from pathlib import Path

import keras
import numpy as np
import pytest
import skimage
import sklearn
import tensorflow as tf
from PIL import Image

from ganad_tf.networks import FEATURE_MAPS, EfficientNetLite0, load_efficientnet_lite0

SKIMAGE = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"


@pytest.fixture(scope="module")
def network():
    return load_efficientnet_lite0(classify=True)


def scaled(pixels):
    return (np.asarray(pixels, "f") / 127.5 - 1)[None]


def astronaut():
    """224x224 pixels of a photograph as they are, so that no resampling enters the figures."""
    with Image.open(SKIMAGE / "astronaut.png") as image:
        return scaled(image.convert("RGB").crop((100, 0, 324, 224)))


def photograph(path):
    """The central square, resized to what the weights were trained at."""
    with Image.open(path) as image:
        side = min(image.size)
        left, top = ((length - side) // 2 for length in image.size)
        square = image.convert("RGB").crop((left, top, left + side, top + side))
        return scaled(square.resize((224, 224), Image.Resampling.BICUBIC))


# From this code; PyTorch with the same file, batch normalisation not folded, agreed to 3e-4 in
# every value.
GOLDEN = {
    "stride_4": [0.01075, 8.12572, -1.83765, -7.87060, 4.96688],
    "stride_8": [-0.26538, 7.45606, 16.49144, -10.56167, -1.69810],
    "stride_16": [0.34823, 7.33496, 6.86857, 5.40633, 3.98900],
    "stride_32_early": [0.48001, 6.99044, 6.32048, 2.16422, 1.50092],  # not compared
    "stride_32": [0.03276, 2.42659, 1.90645, 0.52239, -0.32110],
}


@pytest.mark.parametrize("feature_map", FEATURE_MAPS, ids=lambda feature_map: feature_map.name)
def test_features_of_a_photograph_are_those_of_pytorch(network, feature_map):
    output = network.feature_maps(astronaut())[FEATURE_MAPS.index(feature_map)].numpy()
    side = 224 // feature_map.stride
    assert output.shape == (1, side, side, feature_map.channels)
    middle = output[0, side // 2, side // 3]
    received = [output.mean(), output.std(), middle[0], middle[-1], output[0, 0, 0, 1]]
    np.testing.assert_allclose(received, GOLDEN[feature_map.name], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("path", "index"),
    [
        (SKIMAGE / "chelsea.png", 285),  # Egyptian cat
        (SKIMAGE / "coffee.png", 967),  # espresso
        (SKIMAGE / "camera.png", 872),  # tripod
        (SKIMAGE / "motorcycle_left.png", 665),  # moped
        (SKIMAGE / "rocket.jpg", 657),  # missile
        (SKLEARN / "china.jpg", 698),  # palace
    ],
    ids=lambda value: getattr(value, "stem", None),
)
def test_photographs_are_named_rightly(network, path, index):
    assert np.argmax(network.logits(photograph(path))) == index


def test_grey_images_give_the_features_of_the_same_image_in_three_channels(network):
    grey = astronaut()[..., :1]
    for ours, theirs in zip(network(grey), network(np.repeat(grey, 3, axis=-1)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (96, 96), (160, 64)])
def test_any_multiple_of_32_is_a_size(network, height, width):
    outputs = network(np.zeros((1, height, width, 1), "f"))
    assert [output.shape for output in outputs] == [
        (1, height // stride, width // stride, channels) for _, stride, channels in FEATURE_MAPS
    ]


@pytest.mark.parametrize("shape", [(1, 100, 100, 1), (1, 64, 48, 3), (1, 0, 32, 1)])
def test_other_sizes_are_refused(network, shape):
    with pytest.raises(ValueError, match=r"multiples of 32\. Received: shape="):
        network.feature_maps(np.zeros(shape, "f"))


@pytest.mark.parametrize("shape", [(1, 64, 64, 2), (64, 64, 3), (1, 64, 64, 4)])
def test_other_channels_and_ranks_are_refused(network, shape):
    with pytest.raises(ValueError, match=r"C = 1 \(grey\) or 3 \(colour\)\. Received: shape="):
        network.feature_maps(np.zeros(shape, "f"))


def test_features_do_not_depend_on_the_other_images_of_the_batch(network, rng):
    image = astronaut()[:, :96, :96]
    alone = network(image)
    among_others = network(np.concatenate([rng.uniform(-1, 1, (4, 96, 96, 3)).astype("f"), image]))
    for ours, theirs in zip(alone, among_others, strict=True):
        np.testing.assert_allclose(theirs[-1:], ours, rtol=0, atol=1e-3)


def test_training_mode_changes_nothing_and_nothing_is_trained(network):
    image = astronaut()[:, :64, :64]
    for ours, theirs in zip(network(image, training=True), network(image), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert network.trainable_variables == []


def test_a_graph_of_unknown_size_computes_the_same(network):
    signature = [tf.TensorSpec([None, None, None, 3], tf.float32)]
    graph = tf.function(network.feature_maps, input_signature=signature)
    image = astronaut()[:, :64, :64]
    for ours, theirs in zip(graph(image), network(image), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)


def test_computation_is_float32_under_any_dtype_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = EfficientNetLite0()
        outputs = network(np.zeros((1, 32, 32, 1), "f"))
    finally:
        keras.config.set_dtype_policy("float32")
    assert {output.dtype for output in outputs} == {tf.float32}
    assert {layer.compute_dtype for layer in network.convolutions} == {"float32"}


@pytest.mark.parametrize("classify", [False, True])
def test_the_network_survives_saving_in_safe_mode(classify, tmp_path, rng):
    network = EfficientNetLite0(classify=classify)
    images = rng.uniform(-1, 1, (1, 32, 32, 1)).astype("f")
    expected = network(images)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras", safe_mode=True)
    for ours, theirs in zip(expected, loaded(images), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert loaded.classify == classify
    assert loaded.trainable_variables == []
    if classify:
        np.testing.assert_array_equal(network.logits(images), loaded.logits(images))


def test_logits_need_the_classifier(rng):
    with pytest.raises(ValueError, match="Received: classify=False"):
        EfficientNetLite0().logits(np.zeros((1, 32, 32, 1), "f"))
