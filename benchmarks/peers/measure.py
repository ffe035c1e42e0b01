"""Measures one cell: the same work on all sides, then turns."""

import contextlib
import dataclasses
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import torch

from benchmarks.peers import models, scoring
from benchmarks.peers.cells import CHANNELS, GREY, Cell
from benchmarks.peers.timing import Effort, ratio, spread, take_turns
from benchmarks.peers.training import TrainingStep
from benchmarks.scoring_speed import SIZE, multiply_adds
from export.runtime import Scorer
from ganad_tf.environment import start_tensorflow
from ganad_tf.errors import DataError
from ganad_tf.preprocessing import to_network
from ganad_tf.scoring import Detector
from ganad_tf.settings.names import NO_ENCODER
from ganad_tf.settings.run_config import RunConfig

FLOAT32, INT8, EAGER, COMPILED = "float32", "int8", "PyTorch eager", "torch.compile"
OURS, GEMM = "ours", "matrix product"
# How far the same work may differ: scores and reconstructions, and losses relatively.
MAX_DIFFERENCE, MAX_LOSS_DIFFERENCE = 1e-4, 1e-3
# Cells whose share of the rate of matrix products is measured: (size, batch), grey, no encoder.
GEMM_CELLS = ((32, 128), (128, 128))


@dataclasses.dataclass(frozen=True)
class Sides:
    """A detector on both sides.

    Args:
        detector: ours.
        scorers: `float32` and `int8` -> our runtime.
        network: the copy.
    """

    detector: Detector
    scorers: dict[str, Scorer]
    network: scoring.ScoringNetwork


@contextmanager
def made_sides(cell: Cell, threads: int) -> Iterator[Sides]:
    """The detector of a cell, exported and copied."""
    detector = models.make_detector(cell.encoder, cell.size, CHANNELS[cell.colours])
    with tempfile.TemporaryDirectory() as folder:
        files = models.export(detector, Path(folder))
        scorers = {name: Scorer(path, threads) for name, path in files.items()}
        yield Sides(detector, scorers, scoring.ScoringNetwork(detector))


def measure_scoring(cell: Cell, sides: Sides, effort: Effort) -> dict[str, Any]:
    """Times a scoring cell.

    Raises:
        DataError: if PyTorch's score or reconstruction is another.
    """
    shape = (cell.batch, *sides.detector.image_shape)
    images = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    differences = compare_scores(sides, images)
    eager = scoring.runner(sides.network)
    runs = {name: lambda s=scorer: s.score(images) for name, scorer in sides.scorers.items()}
    runs[EAGER] = lambda: eager(images)
    missing = {}
    if cell.compiles:
        compiled = try_to_compile(sides.network, images)
        if isinstance(compiled, str):
            missing[COMPILED] = compiled
        else:
            difference = float(np.abs(compiled(images) - eager(images)).max())
            differences[f"{COMPILED} score"] = _checked("PyTorch", "scores", difference)
            runs[COMPILED] = lambda: compiled(images)
    multiplied = cell.encoder == NO_ENCODER and cell.colours == GREY
    if multiplied and (cell.size, cell.batch) in GEMM_CELLS:
        a, b = np.ones((2, SIZE, SIZE), np.float32)
        runs[GEMM] = lambda: a @ b
    times = take_turns(runs, effort)
    result = _figures(times, cell.batch, (FLOAT32, INT8))
    if GEMM in times:
        result |= _gemm_share(times, cell.batch * multiply_adds(sides.detector.generator))
    return {**result, "differences": differences, "not_measured": missing}


def try_to_compile(
    network: torch.nn.Module, images: np.ndarray
) -> Callable[[np.ndarray], np.ndarray] | str:
    """The network compiled for this batch, or why it cannot be; it needs a C++ compiler."""
    torch._dynamo.reset()  # else a second batch size would be compiled for any size
    run = scoring.runner(torch.compile(network, dynamic=False))
    try:
        run(images)
    except Exception as error:  # of many types, by what is missing
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return run


def compare_scores(sides: Sides, images: np.ndarray) -> dict[str, float]:
    """How far PyTorch's results are from ours.

    Raises:
        DataError: if that is more than rounding.
    """
    scores = sides.scorers[FLOAT32].score(images)["score"]
    found = scoring.runner(sides.network)(images)
    generator = sides.detector.generator
    ours = generator(to_network(tf.constant(images), generator.image_size), training=False)[0]
    with torch.inference_mode():
        theirs = sides.network.reconstruct(torch.from_numpy(images)).permute(0, 2, 3, 1).numpy()
    return {
        "score": _checked("ours and PyTorch", "scores", float(np.abs(scores - found).max())),
        "reconstruction": _checked(
            "ours and PyTorch", "reconstructions", float(np.abs(ours.numpy() - theirs).max())
        ),
    }


def measure_training(cell: Cell, threads: int, effort: Effort) -> dict[str, Any]:
    """Times a training cell.

    Ours runs as in `train.py`, which changes how its process allocates memory. PyTorch's users do
    not, so its step has a process of its own.

    Raises:
        DataError: if PyTorch's first losses are others.
    """
    start_tensorflow()
    config, images = training_batch(cell)
    _, _, step = models.make_trained(config, cell.size, CHANNELS[cell.colours])
    batch = tf.constant(images)

    def ours() -> dict[str, float]:
        return {name: float(value.numpy()) for name, value in step(batch).items()}

    with _rival_process(cell, threads) as rival:
        difference = compare_losses(ours(), rival())
        times = take_turns({OURS: ours, EAGER: rival}, effort)
    return {
        **_figures(times, config.batch_size, (OURS,)),
        "batch": config.batch_size,
        "differences": {"losses, relative": difference},
        "not_measured": {},
    }


def training_batch(cell: Cell) -> tuple[RunConfig, np.ndarray]:
    """The settings of a training cell, and the images uint8 [N, S, S, C] of every step."""
    config = models.make_config(cell.encoder, cell.size)
    shape = (config.batch_size, cell.size, cell.size, CHANNELS[cell.colours])
    return config, np.random.default_rng(3).integers(0, 256, shape, np.uint8)


@contextmanager
def _rival_process(cell: Cell, threads: int) -> Iterator[Callable[[], dict[str, float]]]:
    """A function that takes a step in PyTorch, elsewhere, and returns its losses."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_take_steps, args=(there, cell, threads), daemon=True)
    process.start()
    there.close()  # so that the end of the process ends a wait for its answer

    def step() -> dict[str, float]:
        here.send(True)
        return here.recv()

    try:
        yield step
    finally:
        here.close()
        process.join()


def _take_steps(asked: Connection, cell: Cell, threads: int) -> None:
    """Takes a step whenever it is asked to; the same seed gives it our first weights."""
    torch.set_num_threads(threads)
    config, images = training_batch(cell)
    model, plan, _ = models.make_trained(config, cell.size, CHANNELS[cell.colours])
    step = TrainingStep(model, config, plan)
    with contextlib.suppress(EOFError):  # the asking process has closed its end
        while asked.recv():
            asked.send({name: float(value) for name, value in step(images).items()})


def compare_losses(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float:
    """The largest relative difference of the losses of a step.

    Raises:
        DataError: if that is more than rounding.
    """
    differences = [
        abs(float(ours[name]) - float(theirs[name])) / max(abs(float(ours[name])), 1e-6)
        for name in ours
    ]
    return _checked("ours and PyTorch", "losses", max(differences), MAX_LOSS_DIFFERENCE)


def _checked(what: str, of: str, difference: float, limit: float = MAX_DIFFERENCE) -> float:
    if not difference <= limit:  # NaN is no agreement
        raise DataError(
            f"{what}: expected {of} within {limit:g} on both sides. Received: {difference:.2g}"
        )
    return difference


def _figures(times: Mapping[str, list[float]], batch: int, ours: tuple[str, ...]) -> dict[str, Any]:
    """Images per second of each side, and how many times as fast ours are."""
    rivals = [name for name in (EAGER, COMPILED) if name in times]
    return {
        "images_per_second": {
            name: batch / float(np.median(values)) for name, values in times.items() if name != GEMM
        },
        "ratios": {
            f"{name} / {rival}": ratio(times[rival], times[name])
            for name in ours
            for rival in rivals
        },
    }


def _gemm_share(times: Mapping[str, list[float]], work: int) -> dict[str, Any]:
    """How much of the rate of a large matrix product our multiply-adds reach.

    Args:
        times: seconds of each side in each round.
        work: multiply-adds of the convolutions of a call.
    """
    rates = [SIZE**3 / seconds for seconds in times[GEMM]]
    shares = [work / seconds / rate for seconds, rate in zip(times[FLOAT32], rates, strict=True)]
    return {
        "gemm_multiply_adds_per_second": float(np.median(rates)),
        "multiply_adds": work,
        "share_of_gemm": spread(shares),
    }
