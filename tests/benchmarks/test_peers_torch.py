"""The PyTorch copies of the benchmark do the same work as ours."""

import numpy as np
import pytest
import tensorflow as tf

torch = pytest.importorskip("torch", reason="PyTorch is needed by this benchmark alone")

from benchmarks.peers import models, scoring  # noqa: E402
from benchmarks.peers.measure import compare_losses, try_to_compile  # noqa: E402
from benchmarks.peers.training import TrainingStep  # noqa: E402
from ganad_tf.errors import DataError  # noqa: E402
from ganad_tf.preprocessing import to_network  # noqa: E402
from ganad_tf.settings.names import EFFICIENTNET_LITE0, NO_ENCODER  # noqa: E402
from ganad_tf.settings.run_config import RunConfig  # noqa: E402


@pytest.fixture(autouse=True)
def _eager():
    """Graphs are traced for longer than the few steps here take."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


# 160 pixels are reduced to 80 for the generator; the encoder sees 64 pixels at 128.
@pytest.mark.parametrize(
    ("encoder", "size", "channels"),
    [(NO_ENCODER, 160, 3), (EFFICIENTNET_LITE0, 64, 1)],
)
def test_scores_and_reconstructions_are_ours(rng, encoder, size, channels):
    detector = models.make_detector(encoder, size, channels)
    images = rng.integers(0, 256, (3, size, size, channels), np.uint8)
    network = scoring.ScoringNetwork(detector)
    scores = scoring.runner(network)(images)
    assert np.ptp(scores) > 1e-3
    np.testing.assert_allclose(scores, detector.score_samples(images), atol=1e-4)
    x = to_network(tf.constant(images), detector.generator.image_size)
    with torch.inference_mode():
        found = network.reconstruct(torch.from_numpy(images)).permute(0, 2, 3, 1)
    expected = detector.generator(x, training=False)[0].numpy()
    assert expected.std() > 0.05
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_training_steps_are_ours(rng):
    config = RunConfig(batch_size=8, learning_rate=0.05, flip=False, shift=0)
    model, plan, step = models.make_trained(config, 32, 1)
    kernel = model.averaged_generator.down[1].convolution.kernel
    before = kernel.numpy()
    rival = TrainingStep(model, config, plan)
    for _ in range(3):
        images = rng.integers(0, 256, (8, 32, 32, 1), np.uint8)
        model.reset_metrics()  # which are means over steps
        compare_losses(step(tf.constant(images)), rival(images))
    theirs = rival.averaged.down[1].convolution.weight.numpy().transpose(2, 3, 1, 0)
    moved = np.abs(kernel.numpy() - before).mean()
    assert moved > 1e-4
    # Adam's first steps follow the signs of gradients, and rounding decides those of tiny ones.
    assert np.abs(kernel.numpy() - theirs).mean() < 0.05 * moved


def test_losses_that_differ_are_refused():
    with pytest.raises(DataError, match=r"expected losses within 0\.001 on both sides"):
        compare_losses({"patch": 1.0}, {"patch": 1.01})


def test_a_missing_compiler_is_told_instead_of_raised(monkeypatch):
    def fails(images):
        raise RuntimeError("no C++ compiler\nmany more lines")

    monkeypatch.setattr(torch, "compile", lambda network, dynamic: fails)
    images = np.zeros((1, 16, 16, 1), np.uint8)
    assert try_to_compile(torch.nn.Identity(), images) == "RuntimeError: no C++ compiler"
