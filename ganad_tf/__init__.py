"""A dual-discriminator GAN for anomaly detection when anomalies are few."""

import importlib
from typing import Any

from ganad_tf.keras_classes import register

__version__ = "0.1.0"

# Public names and where they are defined; imported when they are used, so that `--help` is fast.
_PUBLIC = {
    "Detector": "ganad_tf.scoring.detector",
    "DualDiscriminatorGAN": "ganad_tf.training.model",
    "Generator": "ganad_tf.networks.generator",
    "LabelledImages": "ganad_tf.data.images",
    "Plan": "ganad_tf.plan",
    "RunConfig": "ganad_tf.settings.run_config",
    "Splits": "ganad_tf.data.splits",
    "fit_detector": "ganad_tf.scoring.fit_detector",
    "fit_encoder": "ganad_tf.scoring.fit_detector",
    "load_splits": "ganad_tf.data.load",
    "make_plan": "ganad_tf.plan",
    "run_experiment": "ganad_tf.experiment",
}
__all__ = [*_PUBLIC, "__version__"]

register()


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
