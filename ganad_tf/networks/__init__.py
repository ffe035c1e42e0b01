"""Networks: layers and shapes. They know nothing of losses or training."""

from ganad_tf.networks.discriminator import Discriminator
from ganad_tf.networks.efficientnet_lite import FEATURE_MAPS, EfficientNetLite0
from ganad_tf.networks.generator import Generator, pool_features
from ganad_tf.networks.pretrained_weights import load_efficientnet_lite0

__all__ = [
    "FEATURE_MAPS",
    "Discriminator",
    "EfficientNetLite0",
    "Generator",
    "load_efficientnet_lite0",
    "pool_features",
]
