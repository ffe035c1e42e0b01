"""Chooses device, precision and compilation for the hardware, and says what and why."""

import dataclasses
import json
import os

import tensorflow as tf

from ganad_tf.environment import use_true_float32
from ganad_tf.errors import UsageError
from ganad_tf.tracking import Tracker

# Compute capability from which NVIDIA's tensor cores work in bfloat16 (Ampere) and float16 (Volta).
BFLOAT16_CAPABILITY = (8, 0)
FLOAT16_CAPABILITY = (7, 0)


@dataclasses.dataclass(frozen=True)
class Execution:
    """How a run executes.

    Args:
        strategy: the TensorFlow distribution strategy to build and train under.
        precision: the Keras dtype policy of the trained networks.
        jit_compile: whether the training step is compiled with XLA.
        reason: one line for the person who started the run.
        tracker: follows the run, if anything does.
    """

    strategy: tf.distribute.Strategy
    precision: str
    jit_compile: bool
    reason: str
    tracker: Tracker | None = None


def choose_execution(
    precision: str = "auto", devices: str = "auto", batch_size: int = 0
) -> Execution:
    """Chooses the strategy, the precision and whether to compile.

    Args:
        precision: `auto`, `float32`, `mixed_bfloat16` or `mixed_float16`.
        devices: `auto` (as many GPUs as can share a batch, else the CPU), `cpu`, `gpu` (all) or
            `gpu:N` (the first N).
        batch_size: the global batch, whose normal images and anomalies are shared out evenly; 0 if
            nothing is trained.

    Raises:
        UsageError: if requested GPUs are missing, if they or the workers cannot share a batch
            evenly, or if `devices` is malformed.
    """
    _, workers = worker_index()
    use_true_float32()
    if workers > 1:
        if devices != "auto":
            raise UsageError(
                "--devices must be auto with several workers: each uses all that TensorFlow sees "
                f"(CUDA_VISIBLE_DEVICES narrows it). Received: {devices!r}"
            )
        # This must be the first use of TensorFlow: the strategy starts the process's server.
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        _check_shares(batch_size, strategy.num_replicas_in_sync, f"{workers} workers")
        chosen = "float32" if precision == "auto" else precision
        reason = f"{workers} workers (TF_CONFIG), {chosen}, without XLA"
        return Execution(strategy, chosen, False, reason)
    visible = tf.config.get_visible_devices("GPU")
    gpus = _choose_gpus(visible, devices, batch_size)
    if devices != "auto" and len(gpus) < len(visible):
        # What runs outside of the strategy, as fitting does, must not use the others either.
        tf.config.set_visible_devices(gpus, "GPU")
    if not gpus:
        chosen = "float32" if precision == "auto" else precision
        why = "measured fastest on a CPU" if precision == "auto" else "as the settings say"
        strategy = tf.distribute.OneDeviceStrategy("/CPU:0")
        return Execution(strategy, chosen, False, f"CPU, {chosen} ({why}), without XLA")
    capability = min(
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        for gpu in gpus
    )
    chosen, why = precision, "as the settings say"
    if precision == "auto":
        why = f"compute capability {capability[0]}.{capability[1]}"
        if capability >= BFLOAT16_CAPABILITY:
            chosen = "mixed_bfloat16"
        elif capability >= FLOAT16_CAPABILITY:
            chosen = "mixed_float16"
        else:
            chosen = "float32"
    names = [f"/GPU:{index}" for index in range(len(gpus))]
    # Keras compiles the step of all replicas as one, and XLA refuses variables of several devices.
    jit_compile = len(gpus) == 1
    if jit_compile:
        strategy = tf.distribute.OneDeviceStrategy(names[0])
        reason = f"1 GPU, {chosen} ({why}), with XLA"
    else:
        strategy = tf.distribute.MirroredStrategy(names)
        reason = f"{len(gpus)} GPUs, {chosen} ({why}), without XLA"
    if devices == "auto" and len(gpus) < len(visible):
        reason += f"; {len(visible)} GPUs cannot share a batch of {batch_size} evenly"
    return Execution(strategy, chosen, jit_compile, reason)


def worker_index() -> tuple[int, int]:
    """This process's number among the workers, and how many there are: (0, 1) without TF_CONFIG.

    Raises:
        UsageError: if TF_CONFIG is not what TensorFlow defines, or names other roles.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return 0, 1
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        count, kind, index = len(cluster["worker"]), task["type"], int(task["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            'TF_CONFIG must be {"cluster": {"worker": ["host:port", ...]}, "task": {"type": '
            f'"worker", "index": i}}}}. Received: {type(error).__name__} {error} in {text!r}'
        ) from None
    if set(cluster) != {"worker"} or kind != "worker" or not 0 <= index < count:
        raise UsageError(
            "TF_CONFIG must name workers only, and a task among them. "
            f"Received: roles {sorted(cluster)}, task {kind} {index}"
        )
    return index, count


def _choose_gpus(visible: list, devices: str, batch_size: int) -> list:
    """The GPUs to train on, of those that TensorFlow may use; empty for the CPU."""
    if devices == "auto":
        counts = range(len(visible), 0, -1)
        return visible[: next((n for n in counts if not batch_size % (2 * n)), 0)]
    if devices == "cpu":
        return []
    kind, _, count = devices.partition(":")
    if kind != "gpu" or (":" in devices and not (count.isdigit() and int(count) > 0)):
        raise UsageError(f"--devices must be auto, cpu, gpu or gpu:N. Received: {devices!r}")
    wanted = int(count) if count else max(1, len(visible))
    if wanted > len(visible):
        raise UsageError(
            f"--devices {devices} needs {wanted} GPU(s) that TensorFlow can use. "
            f"Received: {len(visible)} (the extra 'gpu' installs TensorFlow with its CUDA "
            "libraries)"
        )
    _check_shares(batch_size, wanted, f"{wanted} GPUs")
    return visible[:wanted]


def _check_shares(batch_size: int, shares: int, of: str) -> None:
    """Checks that replicas get equal shares of a batch's normal images and of its anomalies."""
    if batch_size % (2 * shares):
        raise UsageError(
            f"--batch-size must be a multiple of {2 * shares} for {of}. Received: {batch_size}"
        )
