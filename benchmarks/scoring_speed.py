"""How fast the exported formats score, side by side in one process.

    python -m benchmarks.scoring_speed

All formats take turns on the same images, so that a busy machine slows all of them; compare the
ratios of the median times. Speed does not depend on the weights, so the detectors here are fitted
but untrained.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import tensorflow as tf

from benchmarks.results_file import save
from export import onnx_model, saved_model
from export.quantize import quantize
from export.runtime import Scorer
from ganad_tf.data.load import Source, load_splits
from ganad_tf.errors import run_cli
from ganad_tf.networks import Generator
from ganad_tf.plan import Plan
from ganad_tf.scoring import fit_detector
from ganad_tf.settings.presets import PAPER, SMALL
from ganad_tf.settings.run_config import RunConfig

SIZE = 2048  # of the square matrices whose product gives the machine's rate


def gemm_rate(rounds: int) -> float:
    """Multiply-adds per second of a large float32 matrix product, the best of some."""
    a, b = np.ones((2, SIZE, SIZE), np.float32)
    best = min(_seconds(lambda: a @ b) for _ in range(rounds))
    return SIZE**3 / best


def multiply_adds(generator: Generator) -> int:
    """Multiply-adds of the convolutions of one pass over one image."""
    size, total = generator.image_size, 0
    for step in generator.down:
        size //= 2
        total += size**2 * int(np.prod(step.convolution.kernel.shape))
        if step.refine:
            total += size**2 * int(np.prod(step.refinement.kernel.shape))
    for step in (*generator.up, generator.output_step):
        total += size**2 * int(np.prod(step.convolution.kernel.shape))
        size *= 2
    return total


def make_formats(preset: str, splits, folder: Path) -> tuple[Generator, dict]:
    """Exports an untrained detector of a preset.

    Returns:
        Its generator, and name -> function from uint8 images to scores.
    """
    config = RunConfig(preset=preset)
    keras.utils.set_random_seed(0)
    generator = Generator(config.image_size, 1, config.width, config.refine)
    generator.build()
    detector = fit_detector(generator, splits, Plan(score="all"))
    plain = onnx_model.convert(detector)
    fast = onnx_model.build(detector, splits.fingerprint, splits.normal_name)
    metadata = {entry.key: entry.value for entry in fast.metadata_props}
    onnx_model.set_metadata(plain, metadata)
    onnx_model.save(plain, folder / "plain.onnx")
    onnx_model.save(fast, folder / "model.onnx")
    scorer = Scorer(folder / "model.onnx")
    quantize(
        onnx_model.convert(detector),
        metadata,
        splits.train,
        splits.validation,
        scorer,
        folder / "model.int8.onnx",
    )
    saved_model.write(detector, folder / "1", {}, "ganad")
    served = tf.saved_model.load(str(folder / "1"))
    serve = served.signatures["serve"]
    session = onnxruntime.InferenceSession(str(folder / "plain.onnx"))

    def serving(images):
        return [serve(images=tf.constant(images[i : i + 128])) for i in range(0, len(images), 128)]

    def session_alone(images):
        names = ["score", "probability", "is_anomaly"]
        return [
            session.run(names, {"images": images[i : i + 128]}) for i in range(0, len(images), 128)
        ]

    return generator, {
        "SavedModel": serving,
        "converter's plain ONNX, default session": session_alone,
        "converter's plain ONNX": Scorer(folder / "plain.onnx").score,
        "ONNX float32": scorer.score,
        "ONNX int8": Scorer(folder / "model.int8.onnx").score,
        # The served graph is kept alive by this reference alone.
        "_keep": served,
    }


def operators(path: Path, images: np.ndarray) -> dict[str, float]:
    """Share of the time that each type of operator takes, by ONNX Runtime's own profiler."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(path.with_suffix(""))
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    for _ in range(20):
        session.run(["score", "probability", "is_anomaly"], {"images": images})
    events = json.loads(Path(session.end_profiling()).read_text())
    times: Counter = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[event["args"]["op_name"]] += event["dur"]
    return {name: round(t / times.total(), 3) for name, t in times.most_common(8)}


def median_seconds(formats: dict, images: np.ndarray, rounds: int) -> dict[str, float]:
    """Median seconds that each format takes for all images, all taking turns."""
    times = {name: [] for name in formats}
    for _ in range(rounds + 1):  # the first round warms up
        for name, run in formats.items():
            times[name].append(_seconds(lambda run=run: run(images)))
    return {name: float(np.median(values[1:])) for name, values in times.items()}


def measure(preset: str, splits, rounds: int, count: int) -> dict:
    """Times all formats of a preset, alternating."""
    images = splits.test.images[:count]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generator, formats = make_formats(preset, splits, folder)
        formats.pop("_keep")
        medians = median_seconds(formats, images, rounds)
        scorer = Scorer(folder / "model.onnx")
        single = [_seconds(lambda i=i: scorer.score(images[i : i + 1])) for i in range(count)]
        rate, cost = gemm_rate(5), multiply_adds(generator)
        profile = {
            file: operators(folder / file, images[:64])
            for file in ("plain.onnx", "model.onnx", "model.int8.onnx")
        }
    return {
        "images_per_second": {name: count / value for name, value in medians.items()},
        "ratios": {
            "float32 / SavedModel": medians["SavedModel"] / medians["ONNX float32"],
            "float32 / converter's plain, same threads": medians["converter's plain ONNX"]
            / medians["ONNX float32"],
            "float32 / converter's plain, default session": medians[
                "converter's plain ONNX, default session"
            ]
            / medians["ONNX float32"],
            "int8 / float32": medians["ONNX float32"] / medians["ONNX int8"],
        },
        "multiply_adds_per_image": cost,
        "gemm_multiply_adds_per_second": rate,
        "share_of_gemm": {name: cost * count / value / rate for name, value in medians.items()},
        "one_image_ms": {
            "median": 1e3 * float(np.median(single)),
            "p99": 1e3 * float(np.quantile(single, 0.99)),
        },
        "operators": profile,
    }


def _seconds(run) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--idx-dir", type=Path)
    flags = parser.parse_args()
    splits = load_splits(RunConfig(), Source(flags.data_dir, flags.idx_dir))
    results = {}
    for preset in (SMALL, PAPER):
        count = flags.images if preset == "small" else flags.images // 4
        results[preset] = measure(preset, splits, flags.rounds, count)
        print(preset, json.dumps(results[preset], indent=2), flush=True)
    print("kept in", save("scoring_speed", results))


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
