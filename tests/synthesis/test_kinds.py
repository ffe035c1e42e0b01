"""The kinds of synthetic anomalies, by name."""

import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.settings.names import SYNTHETIC_KINDS
from ganad_tf.synthesis.kinds import KINDS, synthesise

SEED = tf.constant([1, 2])


@pytest.fixture
def images(rng):
    return tf.constant(rng.integers(0, 256, (24, 30, 30, 3), dtype=np.uint8))


def test_every_name_has_one_function_and_a_stream_of_its_own():
    assert tuple(KINDS) == SYNTHETIC_KINDS
    assert len({kind.stream for kind in KINDS.values()}) == len(KINDS)


@pytest.mark.parametrize(
    "kinds", [("rotate",), ("rotate", "shuffle", "paste"), ("local_defect", "rotate")]
)
def test_each_image_becomes_one_of_the_kinds(kinds, images):
    made, masks = synthesise(images, SEED, kinds)
    assert (made.shape, made.dtype) == (images.shape, images.dtype)
    assert (masks.shape, masks.dtype) == ((24, 30, 30, 1), images.dtype)
    np.testing.assert_array_equal(made, synthesise(images, SEED, kinds)[0])
    whole = (masks.numpy() == 255).all(axis=(1, 2, 3))
    rotations = [
        any(np.array_equal(b, np.rot90(a, k)) for k in (1, 2, 3))
        for a, b in zip(images.numpy(), made.numpy(), strict=True)
    ]
    if kinds == ("rotate",):
        assert all(rotations)
    if "local_defect" in kinds:
        np.testing.assert_array_equal(whole, rotations)
        assert 0 < whole.sum() < len(whole)
    else:
        assert whole.all()
