"""In a checkout, this package's modules are those of the folder `export/` at the top.

Wheels hold them here, so that an installation claims one top-level name (see setup.py). This file
is not installed. It makes `ganad_tf.export.runtime` and others importable in a checkout, too.
"""

from pathlib import Path

__path__ = [str(Path(__file__).parents[2] / "export")]
