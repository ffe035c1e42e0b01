"""The weights of the losses; apart from the losses, so that `--help` needs no TensorFlow."""

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any

from ganad_tf.errors import UsageError


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


def changed_weights(
    weights: LossWeights, values: Mapping[str, Any], received: str | None = None
) -> LossWeights:
    """The weights with other values for some losses.

    Args:
        weights: of the other losses.
        values: name -> weight.
        received: what an error shows (default: `values`).

    Raises:
        UsageError: if a name is unknown, or a value is no number of at least 0.
    """
    names = [field.name for field in dataclasses.fields(LossWeights)]
    for name, value in values.items():
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if name not in names or not is_number or not 0 <= value < float("inf"):
            raise UsageError(
                "--loss-weight must be NAME=VALUE with VALUE at least 0 and NAME one of "
                f"{', '.join(names)}. Received: {received or dict(values)}"
            )
    return dataclasses.replace(weights, **{name: float(value) for name, value in values.items()})
