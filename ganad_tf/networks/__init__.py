"""Networks: layers and shapes. They know nothing of losses or training."""

from ganad_tf.networks.discriminator import Discriminator
from ganad_tf.networks.generator import Generator

__all__ = ["Discriminator", "Generator"]
