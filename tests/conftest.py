"""What every test shares: quiet TensorFlow, tiny labelled images."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
from hypothesis import settings

# A busy machine is not a failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _default_installation(monkeypatch):
    """Extras that change what is read are hidden; tests of the extra `heif` bring it back."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Makes captured output plain UTF-8: file names of other bytes would stop pytest-xdist."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode())
        for title, text in report.sections
    ]
    return report
