"""Where the pretrained network stands: inside the generator, or beside it.

    pip install elpv-dataset                                   once: 91 MB, CC BY-NC-SA 4.0
    python -m benchmarks.encoder_designs                       both cells (about 16 minutes)
    python -m benchmarks.encoder_designs --cells gravel
    python -m benchmarks.encoder_designs --short               20 steps each, nothing kept

inside   frozen EfficientNet-Lite0 is the encoder of the U-Net. Its stages of strides 2 to 16 are
         the skip connections, and E(x) is its last map. Decoder, head and both discriminators are
         trained as ever. One pass of the encoder serves the generator and the encoder's components.
beside   what the product does: the generator has an encoder of its own, and the frozen network is a
         branch beside it.

Both train on the same batches, in turns of a few steps, with the losses, the optimizers and the
data of the product; their generators see images at 128x128. Two things differ from a run of
`train.py`: the last averaged weights are taken, not those of the best epoch, and the number of
steps is fixed. Inside, the encoder sees what the generator sees. Beside, it sees the image at its
own size, and in a second reading, `beside_128`, at 128 pixels, so that size and design are told
apart.

elpv     solar cells, ten labels, split 10, which is not among the splits of the reports
gravel   drawn defects, 20 labelled with masks, seed 10

Each finished cell is kept as benchmarks/results/encoder_designs-CELL.json; a second call goes on
with the one that is missing. Times are CPU seconds of all threads, medians of turns.
"""

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from benchmarks.pretrained_unet import SharedFeatures, put_inside
from benchmarks.real_defects import draw, find_pictures, write_folder
from benchmarks.results_file import RESULTS, save
from benchmarks.texture_data import write_texture
from ganad_tf.data.batches import BalancedBatches
from ganad_tf.data.clusters import find_groups
from ganad_tf.data.folder.load import load_folder
from ganad_tf.data.folder.options import FolderOptions
from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.errors import TrainingError, run_cli
from ganad_tf.networks import load_efficientnet_lite0
from ganad_tf.plan import Plan, make_plan
from ganad_tf.scoring import Detector, fit_detector, fit_encoder
from ganad_tf.scoring.fit_scorer import fit_scorer, fit_to_validation
from ganad_tf.scoring.fit_to_part import measure_part
from ganad_tf.settings.names import ENCODER_COMPONENTS, GENERATOR_COMPONENTS, RECIPES
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.training.build import build_model, scoring_generator
from ganad_tf.training.model import DualDiscriminatorGAN

SEED, SIDE, STEPS, TURN = 10, 128, 300, 10
# Side of the images; a multiple of SIDE, to which generators reduce them.
CELLS = {"elpv": 256, "gravel": 128}
INSIDE, BESIDE, BESIDE_SMALL = "inside", "beside", "beside_128"
TIMED_IMAGES, ROUNDS = 32, 5


def load_cell(cell: str, folder: Path) -> Splits:
    """Writes and loads the images of a cell."""
    if cell == "elpv":
        pictures = find_pictures()
        write_folder(pictures, draw(pictures, "ten", SEED), folder / "data")
    else:
        write_texture(folder / "data", cell, SIDE, 20, SEED, mask_labelled=True)
    options = FolderOptions(CELLS[cell], split_file=folder / "data" / "split.csv")
    return load_folder(folder / "data", options, folder / "cache")


def train_in_turns(
    models: Mapping[str, DualDiscriminatorGAN], batches: BalancedBatches
) -> dict[str, list[float]]:
    """Trains all models on the same batches; returns the CPU seconds of a step in each turn."""
    steps: dict[str, Callable] = {name: tf.function(m.train_step) for name, m in models.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    stream: Iterator[dict[str, tf.Tensor]] = iter(batches.dataset())
    while turn := list(islice(stream, TURN)):
        for name, step in steps.items():
            began = time.process_time()
            logs = [step(batch) for batch in turn][-1]
            if not np.isfinite(float(logs["generator"])):
                raise TrainingError(f"{name}: expected finite losses. Received: {logs}")
            seconds = (time.process_time() - began) / len(turn)
            times[name].append(seconds)
            print(f"{name}: {TURN * len(times[name])} steps, {seconds:.2f} s each", flush=True)
    return {name: seconds[1:] or seconds for name, seconds in times.items()}  # the first traces


def judge_design(
    detector: Detector, plan: Plan, validation: LabelledImages, test: LabelledImages
) -> dict[str, Any]:
    """Test AUROC of every component, and of four joined scores.

    Everything is fitted to validation images by the rules of the product: `generator` is the recipe
    of a run without a pretrained encoder, `encoder` is the default score without the generator's
    components, and `default` is the default score. `default_and_generator` gives the generator's
    recipe the share that it has on textures, whatever the images are.
    """
    values, scales, _ = measure_part(detector.measurer, validation)
    measured, _, _ = measure_part(detector.measurer, test)
    labels = validation.is_anomaly
    own = {name: values[name] for name in GENERATOR_COMPONENTS}
    alone = {name: part for name, part in plan.shares.items() if name in ENCODER_COMPONENTS}
    both = dict(alone)
    for name, part in RECIPES[plan.generator_recipe].items():
        both[name] = both.get(name, 0.0) + part / 2
    as_asked = dataclasses.replace(plan, score=plan.generator_recipe)
    scorers = {"generator": fit_scorer(own, labels, scales, as_asked)}
    for name, shares in (
        ("encoder", alone),
        ("default", plan.shares),
        ("default_and_generator", both),
    ):
        shared = dataclasses.replace(plan, shares=shares)
        scorers[name] = fit_to_validation(values, labels, scales, shared, True)

    def auroc(scores: np.ndarray) -> float:
        return float(roc_auc_score(test.is_anomaly, scores))

    return {
        "components": {name: auroc(value) for name, value in measured.items()},
        "joined": {name: auroc(s.score(measured).numpy()) for name, s in scorers.items()},
        "encoder_size": plan.encoder_size,
        "shares": plan.shares,
        "generator_recipe": plan.generator_recipe,
    }


def megabytes(detector: Detector) -> float:
    """Size of all weights and fitted arrays that scoring needs, as float32; one encoder once."""
    measurer = detector.measurer
    networks = [measurer.generator, measurer.encoder.encoder]
    weights = {id(w): int(np.prod(w.shape)) for network in networks for w in network.weights}
    arrays = {**measurer.distances.to_arrays(), **measurer.encoder.to_arrays()}
    return 4 * (sum(weights.values()) + sum(a.size for a in arrays.values())) / 1e6


def scoring_seconds(detectors: Mapping[str, Detector], images: np.ndarray) -> dict[str, float]:
    """Median CPU seconds for an image of each detector, all taking turns."""
    times: dict[str, list[float]] = {name: [] for name in detectors}
    for number in range(ROUNDS + 1):  # the first round traces
        for name, detector in detectors.items():
            began = time.process_time()
            detector.run(images, outputs=("score",))
            if number:
                times[name].append((time.process_time() - began) / len(images))
    return {name: float(np.median(seconds)) for name, seconds in times.items()}


def run_cell(cell: str, steps: int = STEPS) -> dict[str, Any]:
    """Trains and judges both designs on the images of a cell."""
    encoder = load_efficientnet_lite0()
    with tempfile.TemporaryDirectory() as name:
        splits = load_cell(cell, Path(name))
        config = RunConfig(data=name, epochs=1, steps_per_epoch=steps, image_size=CELLS[cell])
        plan = dataclasses.replace(make_plan(config, splits), generator_size=SIDE)
        channels = splits.image_shape[-1]
        models = {kind: build_model(config, plan, channels) for kind in (INSIDE, BESIDE)}
        put_inside(models[INSIDE], encoder)
        train = splits.train
        anomalies = train.subset(np.flatnonzero(train.is_anomaly))
        groups = find_groups(anomalies.images, anomalies.kinds, config.balance, None, config.seed)
        batches = BalancedBatches(train, config.batch_size, steps, groups.numbers, config.seed)
        step_seconds = train_in_turns(models, batches)
        beside, inside = scoring_generator(models[BESIDE]), models[INSIDE].averaged_generator
        detectors, designs = {}, {}
        fitted = {
            size: fit_encoder(config, dataclasses.replace(plan, encoder_size=size), splits, encoder)
            for size in (SIDE, plan.encoder_size)
        }
        for kind, generator, size in (
            (INSIDE, inside, SIDE),
            (BESIDE, beside, plan.encoder_size),
            (BESIDE_SMALL, beside, SIDE),
        ):
            settled, features = fitted[size]
            if kind == INSIDE:
                features = SharedFeatures(**vars(features), generator=inside)
            detectors[kind] = fit_detector(generator, splits, settled, features)
            judged = judge_design(detectors[kind], settled, splits.validation, splits.test)
            designs[kind] = {**judged, "megabytes": megabytes(detectors[kind])}
            print(f"{cell} {kind}: {judged['joined']}", flush=True)
        images = np.asarray(splits.test.images[:TIMED_IMAGES])
        for kind, seconds in scoring_seconds(detectors, images).items():
            designs[kind]["score_cpu_seconds"] = seconds
            trained = step_seconds[INSIDE if kind == INSIDE else BESIDE]
            designs[kind]["step_cpu_seconds"] = float(np.median(trained))
    settings = {"cell": cell, "steps": steps, "batch_size": config.batch_size}
    sizes = {"image_size": CELLS[cell], "generator_size": SIDE, "seed": SEED}
    return {**settings, **sizes, "designs": designs}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS), metavar="CELL")
    parser.add_argument("--short", action="store_true", help="only see that everything runs")
    flags = parser.parse_args()
    for cell in flags.cells:
        if flags.short:
            print(json.dumps(run_cell(cell, 2 * TURN), indent=2))
        elif (RESULTS / f"encoder_designs-{cell}.json").exists():
            print(f"{cell}: kept already")
        else:
            save(f"encoder_designs-{cell}", run_cell(cell))


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
