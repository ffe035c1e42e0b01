"""A training step of the GAN in PyTorch: the same layers, losses and optimizer settings."""

import copy
import dataclasses
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers.networks import Discriminator, Generator, to_network
from ganad_tf.losses import MIN_ERROR, Patches
from ganad_tf.plan import Plan
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.training.build import WARM_UP_STEPS
from ganad_tf.training.model import DualDiscriminatorGAN
from ganad_tf.training.objectives import DISCRIMINATOR_LOSSES, GENERATOR_LOSSES

Judgement = tuple[torch.Tensor, torch.Tensor]
BETA_2, EPSILON = 0.999, 1e-7  # Keras' own


class TrainingStep:
    """What `DualDiscriminatorGAN.train_step` does with a batch that is not augmented and has no
    masks, but for the running means of the losses.

    As ours, it makes one generator pass, one encoder pass over the normal reconstructions and one
    pass of each discriminator; each network descends its own objective, all from the same passes;
    and the averaged generator follows.

    Args:
        model: whose weights are copied; not changed.
        config: the run's settings.
        plan: of the run.
    """

    def __init__(self, model: DualDiscriminatorGAN, config: RunConfig, plan: Plan):
        self.networks = (
            Generator(model.generator).train(),
            Discriminator(model.normal_discriminator).train(),
            Discriminator(model.anomaly_discriminator).train(),
        )
        self.averaged = copy.deepcopy(self.networks[0]).requires_grad_(False)
        self.patches = Patches.for_image_size(model.generator.image_size)
        self.weights = dataclasses.asdict(config.loss_weights)
        self.config, self.steps = config, plan.epochs * config.steps_per_epoch
        self.optimizers = [
            # One fused kernel is the fastest of PyTorch's own kinds of Adam.
            torch.optim.Adam(
                network.parameters(), betas=(config.beta_1, BETA_2), eps=EPSILON, fused=True
            )
            for network in self.networks
        ]
        self.done = 0

    def __call__(self, pixels: np.ndarray) -> dict[str, torch.Tensor]:
        """Takes a step.

        Args:
            pixels: uint8 [N + N, S, S, C], the normal images first.

        Returns:
            Mean of each loss over the batch, as before the step.
        """
        images = to_network(torch.from_numpy(pixels), self.networks[0].image_size)
        values = {name: value.mean() for name, value in self._loss_values(images).items()}
        objectives = [
            sum(self.weights[name] * values[name] for name in GENERATOR_LOSSES),
            *(self.weights[name] * values[name] for name in DISCRIMINATOR_LOSSES),
        ]
        parameters = [list(network.parameters()) for network in self.networks]
        gradients = [
            torch.autograd.grad(objective, own, retain_graph=True)
            for objective, own in zip(objectives, parameters, strict=True)
        ]
        for optimizer, own, found in zip(self.optimizers, parameters, gradients, strict=True):
            for parameter, gradient in zip(own, found, strict=True):
                parameter.grad = gradient
            rate = self.config.discriminator_learning_rate
            if optimizer is self.optimizers[0]:
                rate = self.config.learning_rate
            optimizer.param_groups[0]["lr"] = rate * self._schedule()
            optimizer.step()
        self.done += 1
        self._move_average()
        values["generator"] = objectives[0]
        return {name: value.detach() for name, value in values.items()}

    def _schedule(self) -> float:
        """The learning rate as a share of its largest value; see `ganad_tf.training.build`."""
        warm_up = min(WARM_UP_STEPS, self.steps // 10)
        if self.done < warm_up:
            first = 1 / WARM_UP_STEPS
            return first + (1 - first) * self.done / warm_up
        share = min(1.0, (self.done - warm_up) / max(1, self.steps - warm_up))
        return (1 + math.cos(math.pi * share)) / 2

    def _move_average(self) -> None:
        """See `ganad_tf.training.moving_average`."""
        momentum = min(self.config.average_momentum, (1 + self.done) / (10 + self.done))
        averages, currents = (
            [value for value in network.state_dict().values() if value.is_floating_point()]
            for network in (self.averaged, self.networks[0])
        )
        torch._foreach_lerp_(averages, currents, 1 - momentum)

    def _loss_values(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """See `ganad_tf.training.objectives.loss_values`; one value per image."""
        generator, normal_discriminator, anomaly_discriminator = self.networks
        count = len(images) // 2
        reconstructions, features, logits = generator(images)
        errors = (images - reconstructions).abs().mean(1, keepdim=True)
        normal, anomalous = errors[:count], errors[count:].mean((1, 2, 3))
        g_n, g_a = reconstructions[:count], reconstructions[count:]
        features_again = _encode_without_statistics(generator, g_n)
        real_n, fake_n = _judge(normal_discriminator, images[:count], g_n)
        real_a, fake_a = _judge(anomaly_discriminator, images[count:], g_a)
        abc_error = self.config.abc_scale * anomalous + MIN_ERROR
        return {
            "normal_reconstruction": normal.mean((1, 2, 3)),
            "patch": self._largest_patch_error(normal),
            "latent": (features[:count] - features_again).abs().mean((1, 2, 3)),
            "normal_adversarial": _squared_distance(fake_n, 1.0),
            "abc": -torch.log(-torch.expm1(-abc_error)),
            "local_abc": torch.zeros_like(anomalous),
            "anomaly_adversarial": _squared_distance(fake_a, 0.0),
            "feature_abc": functional.softplus(torch.cat([logits[:count], -logits[count:]])),
            "normal_discriminator": _squared_distance(real_n, 1.0) + _squared_distance(fake_n, 0.0),
            "anomaly_discriminator": _squared_distance(real_a, 1.0)
            + _squared_distance(fake_a, 0.0),
        }

    def _largest_patch_error(self, errors: torch.Tensor) -> torch.Tensor:
        patches = self.patches
        blocks = functional.avg_pool2d(errors, patches.stride)
        windows = functional.avg_pool2d(blocks, patches.size // patches.stride, 1).flatten(1)
        return windows.topk(patches.largest, sorted=False).values.mean(1)


def _encode_without_statistics(generator: Generator, images: torch.Tensor) -> torch.Tensor:
    """E(images) with the stored statistics, which stay as they are."""
    layers = [m for m in generator.down.modules() if isinstance(m, nn.BatchNorm2d)]
    for layer in layers:
        layer.eval()
    features = generator.encoder_maps(images)[-1]
    for layer in layers:
        layer.train()
    return features


def _judge(
    discriminator: Discriminator, originals: torch.Tensor, reconstructions: torch.Tensor
) -> tuple[Judgement, Judgement]:
    """One pass over both: the judgements (image, patches) of originals and of reconstructions."""
    image, patches = discriminator(torch.cat([originals, reconstructions]))
    count = len(originals)
    return (image[:count], patches[:count]), (image[count:], patches[count:])


def _squared_distance(judgement: Judgement, target: float) -> torch.Tensor:
    image, patches = judgement
    return ((image - target) ** 2 + ((patches - target) ** 2).mean((1, 2))) / 2
