"""One table of speeds from one process: training in each precision, and every way to score.

    python -m benchmarks.speed            on the CPU, preset small
    python -m benchmarks.speed --gpu      training on the first GPU, both presets, with XLA or not

Everything that is compared takes turns; compare the ratios, not the absolute speeds.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks import scoring_speed, train_step
from benchmarks.results_file import save
from ganad_tf.data.load import Source, load_splits
from ganad_tf.errors import UsageError, run_cli
from ganad_tf.preprocessing import to_network
from ganad_tf.settings.presets import PAPER, SMALL
from ganad_tf.settings.run_config import RunConfig

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def training(preset: str, rounds: int, steps: int, jit: tuple[bool, ...]) -> dict[str, float]:
    """Images per second of the full training step, by precision and compilation."""
    config = RunConfig(preset=preset)
    rng = np.random.default_rng(0)
    batch = tf.constant(rng.integers(0, 256, (config.batch_size, 28, 28, 1), dtype=np.uint8))
    kinds = {
        f"training step, {precision}{', XLA' * compiled}": train_step.full_step(
            config, precision, compiled
        )
        for precision in PRECISIONS
        for compiled in jit
    }
    seconds = train_step.median_seconds(kinds, batch, rounds, steps)
    return {name: config.batch_size / value for name, value in seconds.items()}


def scoring(splits, rounds: int, count: int) -> dict[str, float]:
    """Images per second of `Generator.predict`, the SavedModel and the ONNX variants."""
    images = splits.test.images[:count]
    with tempfile.TemporaryDirectory() as name:
        generator, formats = scoring_speed.make_formats("small", splits, Path(name))
        formats.pop("_keep")
        inputs = to_network(images, generator.image_size).numpy()
        generator.compile(jit_compile=False)
        kinds = {"Generator.predict": lambda _: generator.predict(inputs, 128, verbose=0)}
        seconds = scoring_speed.median_seconds(kinds | formats, images, rounds)
    return {name: count / value for name, value in seconds.items()}


def table(speeds: dict[str, float], reference: str) -> str:
    """Speeds and their ratios to the reference's, one line each."""
    return "\n".join(
        f"{name:42} {speed:9,.0f} images/s  {speed / speeds[reference]:5.2f}"
        for name, speed in speeds.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpu", action="store_true", help="training on the GPU instead")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5, help="training steps in a round")
    parser.add_argument("--images", type=int, default=2000, help="images scored in a round")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--idx-dir", type=Path)
    flags = parser.parse_args()
    if flags.gpu and not tf.config.list_physical_devices("GPU"):
        raise UsageError("--gpu needs a GPU that TensorFlow can use. Received: none")
    presets, jit = ((SMALL, PAPER), (False, True)) if flags.gpu else ((SMALL,), (False,))
    results = {p: training(p, flags.rounds, flags.steps, jit) for p in presets}
    for preset, speeds in results.items():
        print(f"\n{preset}\n{table(speeds, 'training step, float32')}", flush=True)
    if not flags.gpu:
        splits = load_splits(RunConfig(), Source(flags.data_dir, flags.idx_dir))
        results["scoring"] = scoring(splits, flags.rounds, flags.images)
        print(f"\n{table(results['scoring'], 'SavedModel')}")
    print("kept in", save("speed-gpu" if flags.gpu else "speed", results))


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
