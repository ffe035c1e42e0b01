"""Cases that are tried one by one in a process of their own, under limits of time and memory."""

import ctypes
import multiprocessing
import os
import resource
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

LIMIT_SECONDS = 5.0
LIMIT_MIB = 1024


@dataclass(frozen=True)
class Case:
    """What became of one case.

    Args:
        number: of the case; with the seed it makes the same input again.
        answer: what `attempt` returned; empty if it did not return.
        crash: the last lines of a traceback, or why the process ended; empty if there is none.
        seconds: CPU time that it took, which does not depend on what else the machine does.
        peak_mib: the largest memory of the process so far, above what it began with.
    """

    number: int
    answer: dict[str, Any] = field(default_factory=dict)
    crash: str = ""
    seconds: float = 0.0
    peak_mib: float = 0.0


def try_each(
    build: Callable[[int], Any],
    attempt: Callable[[Any], dict[str, Any]],
    numbers: Iterable[int],
    keep: Callable[[Case], None],
    limit: float = LIMIT_SECONDS,
) -> None:
    """Tries cases in one process, which is replaced when it dies or exceeds the time.

    The process runs in an empty working directory, and without root's right to read every file.

    Args:
        build: makes the input of case number n.
        attempt: tries it.
        numbers: of the cases.
        keep: receives every case.
        limit: seconds of CPU time that one attempt may take, or twelve times as long on the clock.
    """
    pending = list(numbers)
    while pending:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.Process(
            target=_work, args=(build, attempt, tuple(pending), theirs)
        )
        process.start()
        theirs.close()
        while pending:
            try:
                ours.recv()  # it is built
                if not _answers(ours, process.pid, limit):
                    keep(Case(pending.pop(0), crash="no answer in time", seconds=limit))
                    break
                case = ours.recv()
            except EOFError:
                process.join()
                keep(Case(pending.pop(0), crash=f"process ended with {process.exitcode}"))
                break
            keep(case)
            pending.remove(case.number)
        process.kill()
        process.join()


def _answers(pipe: Connection, process: int | None, limit: float) -> bool:
    """Waits for an answer; whether there is one within the limit."""
    start, before = time.monotonic(), cpu_seconds(process)
    while not pipe.poll(limit / 5):
        if cpu_seconds(process) - before > limit or time.monotonic() - start > 12 * limit:
            return False
    return True


def cpu_seconds(process: int | None) -> float:
    """CPU time of a process so far; 0 if there is none."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _work(
    build: Callable[[int], Any],
    attempt: Callable[[Any], dict[str, Any]],
    numbers: tuple[int, ...],
    answers: Connection,
) -> None:
    _respect_permissions()
    # A case that needs far more than it may gets an error instead of the machine's memory.
    resource.setrlimit(resource.RLIMIT_AS, (4 * LIMIT_MIB * 2**20,) * 2)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        began_with = _peak_mib()
        for number in numbers:
            answer, crash = {}, ""
            built = build(number)
            answers.send(None)
            start = time.process_time()
            try:
                answer = attempt(built)
            except BaseException:
                crash = "".join(traceback.format_exc().splitlines(keepends=True)[-8:])
            seconds = time.process_time() - start
            answers.send(Case(number, answer, crash, seconds, _peak_mib() - began_with))
        os.chdir("/")


def _respect_permissions() -> None:
    """Takes root's right to read files without permission (CAP_DAC_*) from this process."""
    if os.getuid() == 0:
        libc = ctypes.CDLL(None)
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
        sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
        libc.capget(header, sets)
        sets[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc.capset(header, sets)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
