"""Cost of the full training step, relative to a generator that only learns to reconstruct.

    python -m benchmarks.train_step

Both run in turn in one process, so that a busy machine slows both; compare the ratio of the median
times.
"""

import argparse
import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks.results_file import save
from ganad_tf import losses
from ganad_tf.errors import run_cli
from ganad_tf.networks import Generator
from ganad_tf.plan import Plan
from ganad_tf.preprocessing import to_network
from ganad_tf.settings.presets import PAPER, SMALL
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.synthesis.augmentation import Augmentation
from ganad_tf.training.build import build_model


def full_step(config, precision: str = "float32", jit_compile: bool = False):
    """The step that `fit` runs: all losses, three optimizers, the moving average."""
    model = build_model(config, Plan(), 1, precision)

    @tf.function(jit_compile=jit_compile)
    def step(batch):
        half = config.batch_size // 2
        return model.train_step({"normal": batch[:half], "anomaly": batch[half:]})

    return step


def reconstruction_step(config):
    """The same generator, batch, augmentation and optimizer; the L1 error is the only loss."""
    generator = Generator(config.image_size, 1, config.width, config.refine)
    generator.build()
    generator.head.trainable = False  # nothing would train it
    optimizer = keras.optimizers.Adam(config.learning_rate, beta_1=config.beta_1)
    optimizer.build(generator.trainable_variables)
    augmentation = Augmentation(config.flip, config.shift)

    @tf.function
    def step(batch):
        seed = tf.stack([0, tf.cast(optimizer.iterations, tf.int32)])
        images = to_network(augmentation(batch, seed), config.image_size)
        with tf.GradientTape() as tape:
            reconstructions, _, _ = generator(images, training=True)
            loss = tf.reduce_mean(losses.mean_error(losses.pixel_errors(images, reconstructions)))
        gradients = tape.gradient(loss, generator.trainable_variables)
        optimizer.apply_gradients(zip(gradients, generator.trainable_variables, strict=True))
        return loss

    return step


def median_seconds(kinds: dict, batch: tf.Tensor, rounds: int, steps: int) -> dict[str, float]:
    """Median seconds of each kind of step, all taking turns."""
    times = {name: [] for name in kinds}
    for step in kinds.values():
        step(batch)
    for _ in range(rounds):
        for name, step in kinds.items():
            began = time.perf_counter()
            for _ in range(steps):
                result = step(batch)
            # A GPU runs behind Python: reading a value waits for it.
            tf.nest.map_structure(lambda value: value.numpy(), result)
            times[name].append((time.perf_counter() - began) / steps)
    return {name: float(np.median(values)) for name, values in times.items()}


def measure(preset: str, rounds: int, steps: int) -> dict:
    """Times both steps, alternating; returns images per second and the ratio of costs."""
    config = RunConfig(preset=preset)
    rng = np.random.default_rng(0)
    batch = tf.constant(rng.integers(0, 256, (config.batch_size, 28, 28, 1), dtype=np.uint8))
    kinds = {"full": full_step(config), "reconstruction": reconstruction_step(config)}
    median = median_seconds(kinds, batch, rounds, steps)
    return {
        "width": config.width,
        "batch_size": config.batch_size,
        "images_per_second": {name: config.batch_size / value for name, value in median.items()},
        "cost_ratio": median["full"] / median["reconstruction"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=10)
    flags = parser.parse_args()
    results = {}
    for preset in (SMALL, PAPER):
        few = flags.steps if preset == "small" else max(1, flags.steps // 5)
        results[preset] = measure(preset, flags.rounds, few)
        print(preset, results[preset], flush=True)
    print("kept in", save("train_step", results))


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
