"""What a command shows: the library's log as plain lines, warnings of it on stderr."""

import logging
import sys


def log_to_console() -> None:
    """Has the log of `ganad_tf` and `export` appear on the console, from INFO on."""
    progress = logging.StreamHandler(sys.stdout)
    progress.addFilter(lambda record: record.levelno < logging.WARNING)
    warnings = logging.StreamHandler(sys.stderr)
    warnings.setLevel(logging.WARNING)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, handlers=[progress, warnings])
    for name in ("ganad_tf", "export"):
        logging.getLogger(name).setLevel(logging.INFO)
