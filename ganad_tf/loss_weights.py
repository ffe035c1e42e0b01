"""The weights of the eight losses; apart from the losses, so that `--help` needs no TensorFlow."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """The weight of each loss. Defaults: the reference code and Ferrari and Enneifer agree."""

    normal_reconstruction: float = 1.5
    patch: float = 1.5
    latent: float = 0.5
    normal_adversarial: float = 0.5
    abc: float = 0.5
    anomaly_adversarial: float = 1.0
    normal_discriminator: float = 1.0
    anomaly_discriminator: float = 0.5
