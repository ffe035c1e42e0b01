"""From a raw batch to training images and masks."""

import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.settings.names import SYNTHETIC_KINDS
from ganad_tf.synthesis.augmentation import Augmentation
from ganad_tf.synthesis.training_images import TrainingImages

AS_THEY_ARE = Augmentation(flip=False, shift=0)
SEED = tf.constant([1, 2])


@pytest.fixture
def batch(rng):
    images = rng.integers(0, 256, (2, 4, 28, 28, 1), dtype=np.uint8)
    return {"normal": tf.constant(images[0]), "anomaly": tf.constant(images[1])}


def test_without_synthesis_and_augmentation_a_batch_stays_as_it_is(batch):
    images, masks = TrainingImages(AS_THEY_ARE)(batch, SEED)
    np.testing.assert_array_equal(images, np.concatenate([batch["normal"], batch["anomaly"]]))
    assert masks is None


def test_masked_anomalies_are_pasted_into_normal_images(batch):
    given = np.zeros((4, 28, 28, 1), np.uint8)
    given[:3, 4:9, 4:9] = 255
    given[3] = 255  # unknown
    images, masks = TrainingImages(AS_THEY_ARE)({**batch, "mask": tf.constant(given)}, SEED)
    made, normal = images[4:].numpy(), batch["normal"].numpy()
    areas = (masks.numpy() == 255).sum(axis=(1, 2, 3))
    assert (areas[:3] > 8).all()
    assert (areas[:3] < 60).all()
    assert areas[3] == 28**2
    outside = ~tf.nn.max_pool2d(tf.cast(masks, tf.float32), 3, 1, "SAME").numpy().astype(bool)
    np.testing.assert_array_equal(made[outside], normal[outside])
    np.testing.assert_array_equal(made[3], batch["anomaly"][3])


def test_the_finest_masked_defect_stays_one_at_half_the_size():
    normal = np.full((64, 56, 56, 1), 100, np.uint8)
    anomaly, given = normal.copy(), np.zeros_like(normal)
    anomaly[:, 20:22, 20:22] = 220
    given[:, 21, 21] = 255  # a quarter of a block
    batch = {"normal": normal, "anomaly": anomaly, "mask": given}
    images, masks = TrainingImages(AS_THEY_ARE, image_size=28)(
        {name: tf.constant(values) for name, values in batch.items()}, SEED
    )
    assert (masks.numpy() == 255).any(axis=(1, 2, 3)).all()
    assert (images[64:] != images[:64]).numpy().any(axis=(1, 2, 3)).all()


def test_masks_are_augmented_along_with_their_images(batch):
    raw = {"normal": batch["normal"], "anomaly": batch["normal"]}
    augmentation = Augmentation(flip=True, shift=3)
    _, masks = TrainingImages(augmentation, 1.0, ("local_defect",))(raw, SEED)
    _, still = TrainingImages(AS_THEY_ARE, 1.0, ("local_defect",))(raw, SEED)
    expected = augmentation(tf.concat([tf.zeros_like(still), still], axis=0), SEED)[4:]
    np.testing.assert_array_equal(masks, expected)
    assert (masks != still).numpy().any()


def test_both_halves_of_a_batch_are_rotated(batch):
    images, _ = TrainingImages(Augmentation(flip=False, shift=0, rotation=True))(batch, SEED)
    originals = np.concatenate([batch["normal"], batch["anomaly"]])
    pairs = list(zip(images.numpy(), originals, strict=True))
    assert all(any(np.array_equal(a, np.rot90(b, n)) for n in range(4)) for a, b in pairs)
    assert any(not np.array_equal(a, b) for a, b in pairs[:4])
    assert any(not np.array_equal(a, b) for a, b in pairs[4:])


def test_a_share_of_one_replaces_every_anomaly(batch):
    made = TrainingImages(AS_THEY_ARE, 1.0, ("rotate",))
    images, masks = made({"normal": batch["normal"], "anomaly": batch["normal"]}, SEED)
    assert masks is None
    for image, original in zip(images[4:].numpy(), batch["normal"].numpy(), strict=True):
        assert any(np.array_equal(image, np.rot90(original, n)) for n in (1, 2, 3))


@pytest.mark.parametrize("kind", SYNTHETIC_KINDS)
def test_xla_which_compiles_the_step_on_a_gpu_knows_every_operator(batch, kind):
    masks = np.zeros((4, 28, 28, 1), np.uint8)
    masks[:3, 4:9, 4:9] = 255
    augmentation = Augmentation(flip=True, shift=1, rotation=kind != "rotate")
    make = tf.function(TrainingImages(augmentation, 0.5, (kind,), 14), jit_compile=True)
    # On a CPU, it draws other random numbers than TensorFlow, so images cannot be compared.
    images, masks = make({**batch, "mask": tf.constant(masks)}, SEED)
    assert (images.shape, masks.shape) == ((8, 14, 14, 1), (4, 14, 14, 1))
    assert set(np.unique(masks)) <= {0, 255}
