"""Jobs run in processes of their own, which see every extra that is installed."""

import pytest


@pytest.fixture(autouse=True)
def _default_installation():
    """Hides nothing here, so that this process reads what the jobs read."""
