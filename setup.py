"""Maps the folder export/ to the package ganad_tf.export; all else stands in setup.cfg.

An installation claims the top-level name `ganad_tf` alone. In a checkout, `python -m export` and
`python export/runtime.py` work as well.
"""

from setuptools import find_packages, setup

exports = find_packages(include=["export", "export.*"])
setup(
    packages=sorted({*find_packages(include=["ganad_tf*"]), *(f"ganad_tf.{e}" for e in exports)}),
    package_dir={"ganad_tf.export": "export"},
)
