"""A dual-discriminator GAN for anomaly detection when anomalies are few."""

import importlib
from typing import TYPE_CHECKING, Any

from ganad_tf.keras_classes import register

if TYPE_CHECKING:
    from ganad_tf.api import train
    from ganad_tf.data.images import LabelledImages
    from ganad_tf.data.load import load_splits
    from ganad_tf.data.splits import Splits
    from ganad_tf.estimator import GANAnomalyDetector
    from ganad_tf.experiment import run_experiment
    from ganad_tf.networks.generator import Generator
    from ganad_tf.plan import Plan, make_plan
    from ganad_tf.scoring.detector import Detector
    from ganad_tf.scoring.fit_detector import fit_detector, fit_encoder
    from ganad_tf.scoring.regions import Explanation, Region
    from ganad_tf.settings.run_config import RunConfig
    from ganad_tf.training.model import DualDiscriminatorGAN

__version__ = "0.1.0"

# Public names and where they are defined; imported when they are used, so that `--help` is fast.
_PUBLIC = {
    "Detector": "ganad_tf.scoring.detector",
    "DualDiscriminatorGAN": "ganad_tf.training.model",
    "Explanation": "ganad_tf.scoring.regions",
    "GANAnomalyDetector": "ganad_tf.estimator",
    "Generator": "ganad_tf.networks.generator",
    "LabelledImages": "ganad_tf.data.images",
    "Plan": "ganad_tf.plan",
    "Region": "ganad_tf.scoring.regions",
    "RunConfig": "ganad_tf.settings.run_config",
    "Splits": "ganad_tf.data.splits",
    "fit_detector": "ganad_tf.scoring.fit_detector",
    "fit_encoder": "ganad_tf.scoring.fit_detector",
    "load_splits": "ganad_tf.data.load",
    "make_plan": "ganad_tf.plan",
    "run_experiment": "ganad_tf.experiment",
    "train": "ganad_tf.api",
}
__all__ = [  # noqa: RUF022  spelt out for type checkers
    "__version__",
    "Detector",
    "DualDiscriminatorGAN",
    "Explanation",
    "GANAnomalyDetector",
    "Generator",
    "LabelledImages",
    "Plan",
    "Region",
    "RunConfig",
    "Splits",
    "fit_detector",
    "fit_encoder",
    "load_splits",
    "make_plan",
    "run_experiment",
    "train",
]

register()


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
