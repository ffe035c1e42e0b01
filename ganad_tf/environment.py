"""How TensorFlow is started: its environment, and its import."""

import ctypes
import os
import sys
from importlib import metadata

# Of glibc's mallopt.
_M_TRIM_THRESHOLD, _M_TOP_PAD = -1, -2
_KEPT_BYTES = 2**28


def start_tensorflow() -> None:
    """Imports TensorFlow, quiet and fast; what the user has set in the environment stays.

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
    _import_tensorflow_quietly()


def use_true_float32() -> None:
    """Makes GPUs multiply float32 numbers at full precision.

    By default TensorFlow rounds them to 10 bits on recent GPUs (TF32). Scores would then differ
    from those of other runtimes by more than export allows.
    """
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)


def installed_version(package: str) -> str:
    """The version of a package; `not known` where another one stands in, as tensorflow-cpu may."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not known"


def _import_tensorflow_quietly() -> None:
    """Imports TensorFlow without its start-up lines, which no setting of its own silences.

    They go to the process's stderr before any logging is set up. An import that fails raises as
    ever.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        finally:
            os.dup2(kept, 2)
            os.close(kept)
