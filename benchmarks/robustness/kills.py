"""Kills: trainings, exports and batch jobs ended by SIGKILL at random moments, and begun again.

After each kill every file must be whole, and the repeated command must end with the same results,
bit for bit, as one that was never killed.
"""

import contextlib
import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
from PIL import Image

from benchmarks.results_file import kept_with, revision, save
from benchmarks.robustness.watched import cpu_seconds
from ganad_tf.atomic_files import is_unfinished, read_json, write_json

ROOT = Path(__file__).parents[2]
NAME = "robustness-kills"
COUNTS = {"train": 20, "export": 5, "batch": 5}
_TRAIN = (
    *("--epochs", "3", "--steps-per-epoch", "2", "--batch-size", "8", "--width", "2"),
    *("--discriminator-width", "2", "--image-size", "32", "--encoder", "none"),
)
# Not compared: times and the machine, and logs that are only ever appended to.
_NOT_COMPARED = (
    "tensorboard",
    "plots",
    "report.html",
    "metrics.json",
    "history.csv",
)


@dataclass
class Command:
    """A command that is killed.

    Args:
        folder: into which it writes.
        arguments: of Python, to begin.
        again: of Python, to go on after a kill.
        seconds: CPU time of its process, unkilled.
        results: digest of each result, unkilled.
    """

    folder: Path
    arguments: Sequence[str]
    again: Sequence[str]
    seconds: float
    results: dict[str, str]


def run(count: int | None, seed: int, again: bool) -> int:
    """Kills and resumes until all cases are there; `count` limits the kills of this call."""
    kept = {} if again else kept_with(NAME, "seed", seed, 0) or {}
    kills: list[dict[str, Any]] = list(kept.get("kills", ()))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process is left over
    todo = [(what, n) for what, number in COUNTS.items() for n in range(number)]
    todo = [case for case in todo if case not in {(kill["what"], kill["number"]) for kill in kills}]
    # Kept between calls, so that what is compared with is made once by the same code.
    scratch = Path(tempfile.gettempdir(), f"ganad_tf-kills-{revision()}")
    if not kills:
        shutil.rmtree(scratch, ignore_errors=True)
    for what, number in todo[:count]:
        command = _unkilled(what, scratch)
        kill = _kill(command, np.random.default_rng([seed, number, len(what)]))
        kills.append({"what": what, "number": number, **kill})
        print(json.dumps(kills[-1]), flush=True)
        save(NAME, {"seed": seed, "summary": _summary(kills), "kills": kills})
    if len(todo[:count]) == len(todo):
        shutil.rmtree(scratch, ignore_errors=True)
    wrong = [kill for kill in kills if not (kill["same"] and kill["whole"])]
    print(json.dumps(_summary(kills), indent=2))
    return 1 if wrong else 0


def _summary(kills: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    return {
        what: {
            "killed": sum(kill["what"] == what for kill in kills),
            "all files whole": sum(kill["what"] == what and kill["whole"] for kill in kills),
            "same results": sum(kill["what"] == what and kill["same"] for kill in kills),
        }
        for what in COUNTS
    }


def _unkilled(what: str, scratch: Path) -> Command:
    """A command, after it was run to its end once, for its time and results."""
    photos, first = scratch / "photos", scratch / "first run"
    if not photos.exists():
        _draw(photos)
    train = ("train.py", "--data", str(photos), *_TRAIN, "--output")
    if what == "train":
        run = scratch / "run"
        folder, arguments, again = run, (*train, str(run)), ("train.py", "--resume", str(run))
    else:
        if not first.exists():
            _finish((*train, str(first)))
            _finish(("-m", "export", str(first), "--formats", "onnx"))
        folder = scratch / what
        arguments = again = {
            "export": ("-m", "export", str(first), "--output", str(folder)),
            "batch": (
                *("-m", "export.batch", str(first / "model.onnx"), str(photos), "--output"),
                *(str(folder), "--shard-size", "40", "--workers", "1", "--quiet"),
            ),
        }[what]
    unkilled = scratch / f"{what}.json"
    if not unkilled.exists():
        seconds = _finish(arguments)
        write_json(unkilled, {"seconds": seconds, "results": dict(_results(folder))})
    return Command(folder, arguments, again, **read_json(unkilled))


def _draw(photos: Path) -> None:
    rng = np.random.default_rng(0)
    for folder, count in (("normal", 60), ("anomaly/spot", 14)):
        (photos / folder).mkdir(parents=True)
        for number in range(count):
            pixels = rng.normal(128, 15, (32, 32)).clip(0, 255).astype(np.uint8)
            if folder != "normal":
                pixels[8:16, 8:16] = 0
            Image.fromarray(pixels).save(photos / folder / f"{number}.png")


def _kill(command: Command, rng: np.random.Generator) -> dict[str, Any]:
    """Kills a command at a moment drawn evenly from its CPU time, then runs it again.

    Returns:
        `after_seconds`, the moment; `killed`, whether it was still at work then; `files`, how many
        there were after the kill; `whole`, whether all of them could be read; `same`, whether the
        final results were those without a kill.
    """
    shutil.rmtree(command.folder, ignore_errors=True)
    moment = float(rng.uniform(0.2, 1)) * command.seconds  # it first writes after the imports
    with _started(command.arguments) as process:
        while process.poll() is None and cpu_seconds(process.pid) < moment:
            time.sleep(0.005)
    files = [path for path in command.folder.rglob("*") if path.is_file()]
    broken = [str(path.relative_to(command.folder)) for path in files if not _is_whole(path)]
    begun = (command.folder / "config.json").is_file()
    _finish(command.again if begun else command.arguments)
    left = [str(path) for path in command.folder.rglob(".*")]
    results = dict(_results(command.folder))
    different = sorted(
        name
        for name in {*results, *command.results}
        if results.get(name) != command.results.get(name)
    )
    return {
        "after_seconds": round(moment, 2),
        "of_seconds": round(command.seconds, 2),
        "killed": process.returncode == -signal.SIGKILL,
        "files": len(files),
        "whole": not broken and not left,
        "same": not different,
        **({"broken": broken, "left_over": left} if broken or left else {}),
        **({"different": different} if different else {}),
    }


@contextlib.contextmanager
def _started(arguments: Sequence[str]) -> Iterator[subprocess.Popen]:
    """A command at work, which is killed with all its processes at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _finish(arguments: Sequence[str]) -> float:
    """Runs a command to its end; returns the CPU seconds of its process."""
    seconds = 0.0
    with _started(arguments) as process:
        assert process.stderr is not None
        errors = process.stderr.read()  # until it ends
        seconds = cpu_seconds(process.pid)  # of a process that nobody has waited for
        if process.wait():
            raise RuntimeError(f"{' '.join(arguments)} failed:\n{errors.decode()[-2000:]}")
    return seconds


def _is_whole(path: Path) -> bool:
    """Whether a file can be read to its end. Files still being written have names that say so."""
    if is_unfinished(path.name) or any(is_unfinished(part) for part in path.parts):
        return True
    try:
        match "".join(path.suffixes[-2:]) if path.name.endswith(".weights.h5") else path.suffix:
            case ".json":
                json.loads(path.read_text(encoding="utf-8"))
            case ".csv":
                with path.open(newline="", encoding="utf-8") as file:
                    return len({len(row) for row in csv.reader(file, strict=True)}) == 1
            case ".weights.h5" | ".h5":
                with h5py.File(path) as file:
                    file.visititems(_read)
            case ".keras" | ".npz":
                return zipfile.ZipFile(path).testzip() is None
            case ".png":
                Image.open(path).load()
            case ".onnx":
                onnx.checker.check_model(onnx.load(path))
            case ".html":
                return path.read_text(encoding="utf-8").rstrip().endswith("</html>")
            case ".parquet":
                import pyarrow.parquet

                pyarrow.parquet.read_table(path)
            case _:  # TensorBoard's logs grow; SavedModels appear as a whole folder
                return True
    except Exception:
        return False
    return True


def _read(_: str, item: h5py.Dataset | h5py.Group) -> None:
    if isinstance(item, h5py.Dataset):
        item[()]


def _results(folder: Path) -> Iterator[tuple[str, str]]:
    """Each result that must not depend on kills: its name and digest."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or name.split("/")[0].startswith(("saved_model", *_NOT_COMPARED)):
            continue
        if path.suffix == ".parquet":
            import pyarrow.parquet

            content = repr(pyarrow.parquet.read_table(path).to_pylist()).encode()
        elif path.name == "export.json":
            description = json.loads(path.read_text())
            # A killed export may have used up a version's number.
            content = json.dumps([description["threshold"], *description["formats"]]).encode()
        elif path.name == "model_card.md":  # likewise
            lines = path.read_text(encoding="utf-8").splitlines()
            content = "\n".join(line for line in lines if "saved_model" not in line).encode()
        elif path.suffix == ".keras":  # a zip archive, which also says when it was written
            with zipfile.ZipFile(path) as archive:
                content = archive.read("config.json") + archive.read("model.weights.h5")
        else:
            content = path.read_bytes()
        yield name, hashlib.sha256(content).hexdigest()
