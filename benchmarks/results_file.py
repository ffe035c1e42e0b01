"""Where benchmarks keep their results, and what every result says of its circumstances."""

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

from ganad_tf import __version__
from ganad_tf.artefacts import write_json

RESULTS = Path(__file__).parent / "results"


def save(name: str, values: dict) -> Path:
    """Writes `benchmarks/results/<name>.json`: the values, the machine and the versions."""
    path = RESULTS / f"{name}.json"
    packages = ("tensorflow", "keras", "numpy", "scikit-learn")
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "ganad_tf": __version__,
        "versions": {package: version(package) for package in packages},
    }
    write_json(path, {**values, "about": about})
    return path
