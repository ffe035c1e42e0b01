"""Two replicas against one device. Logical CPU devices stand in for GPUs."""

import json
import subprocess
import sys

import numpy as np
import pytest

# Logical devices must be made before TensorFlow starts, hence a process of its own.
PROGRAM = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
# oneDNN rounds a half batch otherwise than a whole one, and activations next to zero then fall on
# the other side of their kink. Eigen's convolutions treat every image alike; what is left is the
# order of sums over the batch, which threads change, too.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
import keras, numpy as np, tensorflow as tf
from ganad_tf.synthesis.augmentation import Augmentation
from ganad_tf.synthesis.training_images import TrainingImages
from ganad_tf.training.model import DualDiscriminatorGAN

replicas, precision, steps, overflow_at = json.loads(sys.argv[1])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])

class Overflowing(DualDiscriminatorGAN):
    def _objectives(self, values):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        step = tf.cast(self.step.value, tf.int32)
        forced = tf.logical_and(step == overflow_at, replica == replicas - 1)
        factor = tf.where(forced, float("inf"), 1.0)
        return [objective * factor for objective in super()._objectives(values)]

keras.utils.set_random_seed(0)
with strategy.scope():
    model = Overflowing(
        width=4, discriminator_width=4, refine=True, dtype=precision,
        training_images=TrainingImages(Augmentation(flip=False, shift=0)),
    )
    # SGD: Adam's first steps divide rounding noise by itself. One activation that does fall on the
    # other side moves weights by up to a tenth of their way, so the way is kept short.
    model.compile(*(keras.optimizers.SGD(4e-5, momentum=0.5) for _ in range(3)))
images = np.random.default_rng(0).integers(0, 256, (steps, 2, 32, 28, 28, 1), dtype=np.uint8)
data = tf.data.Dataset.from_tensor_slices({"normal": images[:, 0], "anomaly": images[:, 1]})
log = model.fit(data, verbose=0, shuffle=False).history
replicated = [
    [v.numpy().tolist() for v in strategy.experimental_local_results(w.value)]
    for w in model.weights
]
optimizers = (model.optimizer, model.normal_optimizer, model.anomaly_optimizer)
scales = [float(o.dynamic_scale.numpy()) for o in optimizers if hasattr(o, "dynamic_scale")]
print("RESULT" + json.dumps([replicated, scales, log["generator"][-1]]))
"""


def run(replicas, precision="float32", steps=20, overflow_at=-1):
    arguments = json.dumps([replicas, precision, steps, overflow_at])
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, arguments], capture_output=True, text=True, timeout=300
    )
    lines = [line for line in result.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, result.stderr[-3000:]
    weights, scales, loss = json.loads(lines[0].removeprefix("RESULT"))
    return [[np.array(copy) for copy in copies] for copies in weights], scales, loss


def test_two_replicas_compute_what_one_device_computes():
    first, _, _ = run(1, steps=1)
    one, _, one_loss = run(1)
    two, _, two_loss = run(2)
    assert len(one) == len(two) > 0
    # Otherwise a step of half or double the length would pass unseen.
    moved = [np.abs(late[0] - early[0]).max() for early, late in zip(first, one, strict=True)]
    assert np.median(moved) > 4e-5
    for alone, copies in zip(one, two, strict=True):
        for copy in copies:
            np.testing.assert_allclose(copy, alone[0], atol=1e-5)
    assert two_loss == pytest.approx(one_loss, rel=1e-4)


def test_an_overflow_on_one_replica_makes_all_skip_and_halves_all_scales():
    _, undisturbed, _ = run(2, "mixed_float16", steps=3)
    weights, scales, _ = run(2, "mixed_float16", steps=3, overflow_at=1)
    for copies in weights:
        np.testing.assert_array_equal(copies[0], copies[1])
        assert np.isfinite(copies[0]).all()
    assert scales == [scale / 2 for scale in undisturbed]
