"""Trains an anomaly detector: `python train.py --normal 7`, the same as `ganad train`."""

import sys

from ganad_tf.commands.train import main
from ganad_tf.errors import run_cli

if __name__ == "__main__":
    sys.exit(run_cli(main))
