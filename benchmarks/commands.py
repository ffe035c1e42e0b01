"""Commands of the project, run as a user would, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from ganad_tf.data.folder.cache_folder import OVERRIDE

ROOT = Path(__file__).parents[1]


def run_command(cache: Path, *command: object) -> None:
    """Runs `python COMMAND` in the repository's root; its output goes to stderr.

    Args:
        cache: where decoded images are kept. Those of a benchmark must not stay in the user's own
            cache.
        command: such as `"train.py", "--epochs", 3`.

    Raises:
        subprocess.CalledProcessError: if it fails.
    """
    subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        check=True,
        stdout=sys.stderr,
        env={**os.environ, OVERRIDE: str(cache)},
    )
