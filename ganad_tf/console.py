"""What a command shows: the library's log as plain lines, warnings on stderr."""

import io
import logging
import sys
import warnings

LOGGED = ("ganad_tf", "export")


class _Console(logging.Handler):
    """Writes each record as one line, to where stdout and stderr lead at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        file = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        print(self.format(record), file=file, flush=True)


def log_to_console() -> None:
    """Shows the log of `ganad_tf` and `export` on the console, from INFO on.

    File names that are not valid UTF-8 are shown with escapes. Pillow's warnings are not shown: the
    loader names the files that it cannot read.

    For commands only. A second call changes nothing, and other libraries' logs stay as they are.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore", module=r"PIL\.")
    for name in LOGGED:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        if not any(isinstance(handler, _Console) for handler in logger.handlers):
            logger.addHandler(_Console())
    root = logging.getLogger()
    if not root.handlers:
        # Without a handler, the first message of another library would install one that repeats
        # our lines. This one shows the warnings of other libraries alone.
        others = logging.StreamHandler()
        others.setLevel(logging.WARNING)
        others.addFilter(lambda record: record.name.split(".")[0] not in LOGGED)
        root.addHandler(others)
