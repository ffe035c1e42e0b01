"""Networks: layers and shapes. They know nothing of losses or training."""

from ganad_tf.networks.discriminator import Discriminator
from ganad_tf.networks.generator import Generator, pool_features

__all__ = ["Discriminator", "Generator", "pool_features"]
