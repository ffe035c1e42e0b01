"""Which device, precision and compilation a run gets, without the hardware."""

import json
from types import SimpleNamespace

import pytest
import tensorflow as tf

from ganad_tf.errors import UsageError
from ganad_tf.training import devices
from ganad_tf.training.devices import choose_execution, worker_index


@pytest.fixture
def gpus(monkeypatch):
    """Pretends that there are GPUs of the given compute capabilities."""

    def pretend(*capabilities):
        found = [f"GPU {number}" for number in range(len(capabilities))]
        details = {
            name: {"compute_capability": capability} if capability else {}
            for name, capability in zip(found, capabilities, strict=True)
        }
        monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: found)
        monkeypatch.setattr(tf.config.experimental, "get_device_details", details.get)
        monkeypatch.setattr(tf.config, "set_visible_devices", lambda *chosen: seen.append(chosen))
        monkeypatch.setattr(tf.distribute, "OneDeviceStrategy", lambda name: [name])
        monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda names: names)

    seen = pretend.seen = []
    monkeypatch.delenv("TF_CONFIG", raising=False)
    return pretend


def workers(monkeypatch, **task):
    cluster = {"worker": ["a:1", "b:1", "c:1"]}
    config = {"cluster": cluster, "task": {"type": "worker", "index": 1} | task}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))


def test_without_a_gpu_float32_on_the_cpu_without_xla(gpus):
    gpus()
    chosen = choose_execution()
    assert (chosen.strategy, chosen.precision, chosen.jit_compile) == (["/CPU:0"], "float32", False)
    assert chosen.reason == "CPU, float32 (measured fastest on a CPU), without XLA"


@pytest.mark.parametrize(
    ("capability", "precision"),
    [
        ((9, 0), "mixed_bfloat16"),
        ((8, 0), "mixed_bfloat16"),
        ((7, 5), "mixed_float16"),
        ((7, 0), "mixed_float16"),
        ((6, 1), "float32"),
        (None, "float32"),
    ],
)
def test_a_gpu_gets_the_precision_that_its_tensor_cores_have(gpus, capability, precision):
    gpus(capability)
    chosen = choose_execution()
    assert (chosen.strategy, chosen.precision, chosen.jit_compile) == (["/GPU:0"], precision, True)
    assert chosen.reason.startswith(f"1 GPU, {precision} (compute capability ")


def test_of_unlike_gpus_the_least_able_decides(gpus):
    gpus((8, 6), (7, 5))
    chosen = choose_execution()
    assert (chosen.strategy, chosen.precision) == (["/GPU:0", "/GPU:1"], "mixed_float16")
    assert chosen.reason.startswith("2 GPUs, ")


def test_the_step_of_several_gpus_is_not_compiled_by_xla(gpus):
    gpus((8, 0), (8, 0))
    chosen = choose_execution()
    assert not chosen.jit_compile
    assert chosen.reason.endswith(", without XLA")


def test_what_is_asked_for_is_taken(gpus):
    gpus((8, 0), (8, 0), (8, 0))
    assert choose_execution("float32").precision == "float32"
    assert "as the settings say" in choose_execution("float32").reason
    assert choose_execution(devices="cpu").strategy == ["/CPU:0"]
    assert choose_execution(devices="gpu").strategy == ["/GPU:0", "/GPU:1", "/GPU:2"]
    assert choose_execution(devices="gpu:2").strategy == ["/GPU:0", "/GPU:1"]


def test_gpus_get_equal_shares_of_a_batch(gpus):
    gpus((8, 0), (8, 0), (8, 0))
    assert len(choose_execution(batch_size=12).strategy) == 3
    chosen = choose_execution(batch_size=16)
    assert chosen.strategy == ["/GPU:0", "/GPU:1"]
    assert chosen.reason.endswith("; 3 GPUs cannot share a batch of 16 evenly")
    with pytest.raises(UsageError, match=r"must be a multiple of 6 for 3 GPUs. Received: 16"):
        choose_execution(devices="gpu", batch_size=16)


@pytest.mark.parametrize("asked", ["tpu", "gpu:", "gpu:0", "gpu:x", "gpu:-1", "cpu:1", ""])
def test_a_malformed_device_is_refused(gpus, asked):
    gpus((8, 0))
    with pytest.raises(UsageError, match="--devices must be auto, cpu, gpu or gpu:N"):
        choose_execution(devices=asked)


@pytest.mark.parametrize(("asked", "there"), [("gpu", 0), ("gpu:2", 1)])
def test_gpus_that_are_not_there_are_refused(gpus, asked, there):
    gpus(*[(8, 0)] * there)
    with pytest.raises(UsageError, match=rf"--devices {asked} needs .* Received: {there} "):
        choose_execution(devices=asked)


def test_float32_is_true_float32_on_gpus(gpus):
    gpus()
    tf.config.experimental.enable_tensor_float_32_execution(True)
    choose_execution()
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


def test_several_workers_train_in_float32_without_xla(gpus, monkeypatch):
    gpus()
    workers(monkeypatch)
    every = SimpleNamespace(num_replicas_in_sync=3)
    monkeypatch.setattr(devices.tf.distribute, "MultiWorkerMirroredStrategy", lambda: every)
    chosen = choose_execution(batch_size=12)
    assert (chosen.strategy, chosen.precision, chosen.jit_compile) == (every, "float32", False)
    assert chosen.reason.startswith("3 workers (TF_CONFIG)")
    with pytest.raises(UsageError, match=r"must be a multiple of 6 for 3 workers. Received: 16"):
        choose_execution(batch_size=16)
    with pytest.raises(UsageError, match="--devices must be auto with several workers"):
        choose_execution(devices="cpu")


def test_a_worker_knows_its_number(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert worker_index() == (0, 1)
    workers(monkeypatch)
    assert worker_index() == (1, 3)


@pytest.mark.parametrize(
    "task", [{"index": 3}, {"index": -1}, {"index": "x"}, {"type": "chief"}, {"type": "evaluator"}]
)
def test_another_role_is_refused(monkeypatch, task):
    workers(monkeypatch, **task)
    with pytest.raises(UsageError, match="TF_CONFIG must"):
        worker_index()


def test_gpus_that_are_not_asked_for_are_hidden_from_what_fits_and_scores(gpus):
    gpus((8, 0), (8, 0))
    choose_execution(devices="auto")
    assert not gpus.seen
    choose_execution(devices="gpu:1")
    choose_execution(devices="cpu")
    assert gpus.seen == [(["GPU 0"], "GPU"), ([], "GPU")]
