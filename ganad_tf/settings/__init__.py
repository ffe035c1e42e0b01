"""The settings of a run. Nothing here needs TensorFlow, so that `--help` is fast."""
