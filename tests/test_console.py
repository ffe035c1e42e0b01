"""What commands show of the log."""

import logging
import os
import subprocess
import sys

import pytest

from ganad_tf.console import LOGGED, log_to_console


@pytest.fixture(autouse=True)
def _quiet_afterwards():
    loggers = [logging.getLogger(name) for name in LOGGED]
    before = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    for logger in loggers:
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
    yield
    for logger, handlers, level in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)


@pytest.mark.parametrize("name", ["ganad_tf.training.train", "export.pipeline"])
def test_progress_goes_to_stdout_and_warnings_to_stderr(name, capsys):
    log_to_console()
    logger = logging.getLogger(name)
    logger.debug("detail")
    logger.info("epoch %d", 1)
    logger.warning("slow")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("epoch 1\n", "slow\n")


def test_a_second_call_doubles_nothing(capsys):
    log_to_console()
    log_to_console()
    logging.getLogger("ganad_tf").info("once")
    assert capsys.readouterr().out == "once\n"


def test_the_library_shows_no_progress_unless_a_command_asks_for_it(capsys):
    logging.getLogger("ganad_tf").info("nothing")
    assert capsys.readouterr().out == ""


def test_the_logs_of_other_libraries_stay_as_they_are(capsys):
    log_to_console()
    logging.getLogger("another").info("nothing")
    assert capsys.readouterr().out == ""


def test_a_file_name_of_any_bytes_is_shown_with_escapes(tmp_path):
    code = (
        "import logging, os; from ganad_tf.console import log_to_console; log_to_console()\n"
        "logging.getLogger('ganad_tf').info(os.fsdecode(b'\\xff.png'))"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=True
    )
    assert shown.stdout == b"\\udcff.png\n"
