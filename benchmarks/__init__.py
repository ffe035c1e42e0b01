"""Measurements of quality, speed and robustness, and what writes their figures into the docs."""

import os

# For the processes that are started, too: errors still appear, notes on the CPU do not.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
