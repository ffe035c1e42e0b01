"""The weights of the losses; apart from the losses, so that `--help` needs no TensorFlow."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """The weight of each loss.

    Defaults of the first six: the reference code and Ferrari and Enneifer agree. `feature_abc` and
    `local_abc` are our own; 0 leaves the paper's eight.
    """

    normal_reconstruction: float = 1.5
    patch: float = 1.5
    latent: float = 0.5
    normal_adversarial: float = 0.5
    abc: float = 0.5
    anomaly_adversarial: float = 1.0
    normal_discriminator: float = 1.0
    anomaly_discriminator: float = 0.5
    feature_abc: float = 3.0
    local_abc: float = 3.0
