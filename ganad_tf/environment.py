"""What TensorFlow reads from the environment, set before it is imported."""

import ctypes
import os

# Of glibc's mallopt.
_M_TRIM_THRESHOLD, _M_TOP_PAD = -1, -2
_KEPT_BYTES = 2**28


def prepare_environment() -> None:
    """Makes TensorFlow quiet and fast; what the user has set stays.

    oneDNN's kernels are off by default on CPUs without AVX-512. There, they halved the time of a
    training step at 112 pixels. Every step frees large buffers, which glibc gives back to the
    system and asks for again; keeping them saved another third.
    """
    # TensorFlow's notes on the CPU it runs on are of no use here; errors still appear.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TOP_PAD, _KEPT_BYTES)
