"""What to type to start a command, for advice in messages and reports."""

import sys
from pathlib import Path

_ROOT = Path(__file__).parents[1]
# In a checkout, commands work without an installation, too.
_IN_CHECKOUT = {
    "train": "python train.py",
    "export": "python -m export",
    "verify": "python -m export.verify",
    "score": "python export/runtime.py",
    "batch": "python -m export.batch",
    "serve-client": "python -m export.serving.client",
    "web": "python -m export.web",
    "recalibrate": "python -m export.recalibrate",
}


def command_name(name: str) -> str:
    """How to start a subcommand of `ganad` where the program runs.

    Args:
        name: of the subcommand, as in `ganad NAME`.

    Returns:
        `ganad train`, or `python train.py` for a process that was not started as `ganad` and runs
        in a checkout.
    """
    is_checkout = (_ROOT / "train.py").is_file() and (_ROOT / "export" / "runtime.py").is_file()
    if is_checkout and Path(sys.argv[0]).stem != "ganad":
        return _IN_CHECKOUT.get(name, f"ganad {name}")
    return f"ganad {name}"
