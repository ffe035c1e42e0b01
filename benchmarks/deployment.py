"""Requirements on deployments of an exported run, tested at full size.

python -m benchmarks.deployment alone RUN      runtime.py, copied into an empty folder and venv
python -m benchmarks.deployment folder RUN     a folder of 100,000 images, in constant memory
python -m benchmarks.deployment serving RUN    the test set over gRPC, eight callers at once
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.results_file import save
from ganad_tf.errors import ArtefactError, run_cli

RUNTIME = Path(__file__).parents[1] / "export" / "runtime.py"


def test_images(flags) -> np.ndarray:
    """The official test images of the run's data set."""
    from ganad_tf.data.load import Source, load_splits
    from ganad_tf.run_folder import load_config

    return load_splits(load_config(flags.run), Source(flags.data_dir, flags.idx_dir)).test.images


def write_images(images: np.ndarray, folder: Path, count: int) -> None:
    """Writes `count` PNG files, going round the images; copies are hard links."""
    folder.mkdir()
    for i in range(count):
        path = folder / f"{i:06d}.png"
        if i < len(images):
            Image.fromarray(images[i, ..., 0]).save(path)
        else:
            os.link(folder / f"{i % len(images):06d}.png", path)


def reference(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Scores and decisions that training wrote for the test images."""
    with (run / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    scores = np.array([float(row["score"]) for row in rows])
    return scores, np.array([row["is_anomaly"] == "1" for row in rows])


def alone(flags) -> dict:
    """Copies runtime.py and the model alone into a new environment and scores a folder there."""
    scores, decisions = reference(flags.run)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_images(test_images(flags), place / "images", len(scores))
        shutil.copy(RUNTIME, place)
        shutil.copy(flags.run / "model.onnx", place)
        venv.create(place / "venv", with_pip=True)
        python = str(place / "venv" / "bin" / "python")
        packages = ["numpy", "onnxruntime", "pillow"]
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        command = [python, "runtime.py", "model.onnx", "images", "--jsonl", "--quiet"]
        lines = subprocess.run(command, cwd=place, check=True, capture_output=True, text=True)
        began = time.perf_counter()
        one = [python, "runtime.py", "model.onnx", "images/000000.png", "--quiet"]
        subprocess.run(one, cwd=place, check=True, capture_output=True)
        cold = time.perf_counter() - began
    records = [json.loads(line) for line in lines.stdout.splitlines()]
    order = [int(Path(record["path"]).stem) for record in records]
    found = np.array([record["score"] for record in records])
    decided = np.array([record["is_anomaly"] for record in records])
    return {
        "images": len(records),
        "greatest_score_difference": float(np.abs(found - scores[order]).max()),
        "other_decisions": int((decided != decisions[order]).sum()),
        "process_start_to_first_score_seconds": cold,
    }


def folder(flags) -> dict:
    """Scores a large folder with runtime.py and samples the process's memory on the way."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_images(test_images(flags), place / "images", flags.count)
        command = [sys.executable, str(RUNTIME), str(flags.run / "model.onnx"), "images"]
        began = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--csv", "scores.csv"], cwd=place, stderr=subprocess.DEVNULL
        )
        memory = []
        while process.poll() is None:
            memory.append(resident_mib(process.pid))
            time.sleep(0.2)
        seconds = time.perf_counter() - began
        with (place / "scores.csv").open(newline="") as file:
            rows = sum(1 for _ in csv.DictReader(file))
    memory = [value for value in memory if value]
    quarter = len(memory) // 4
    return {
        "images": rows,
        "exit_code": process.returncode,
        "images_per_second": rows / seconds,
        "resident_mib_first_quarter": max(memory[: max(1, quarter)]),
        "resident_mib_last_quarter": max(memory[-max(1, quarter) :]),
    }


def resident_mib(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    sizes = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
    return int(sizes[0]) / 1024 if sizes else 0.0


def serving(flags) -> dict:
    """Sends the test set through the client, eight callers at once, one small batch each time."""
    from export.serving.client import Client
    from export.serving.stand_in import serve

    versions = sorted((flags.run / "saved_model").glob("[0-9]*"), key=lambda path: int(path.name))
    if not versions:
        raise ArtefactError(f"{flags.run}: expected saved_model/VERSION. Received: none")
    images = test_images(flags)
    scores, decisions = reference(flags.run)
    parts = np.array_split(np.random.default_rng(0).permutation(len(images)), 400)
    with serve(versions[-1]) as service:
        client = Client(service.address)
        client.score(images[:32])
        began = time.perf_counter()
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda part: client.score(images[part]), parts))
        seconds = time.perf_counter() - began
        client.close()
    order = np.concatenate(parts)
    found = np.concatenate([answer["score"] for answer in answers])
    decided = np.concatenate([answer["is_anomaly"] for answer in answers])
    return {
        "images": len(found),
        "requests": len(parts),
        "callers": 8,
        "images_per_second": len(found) / seconds,
        "greatest_score_difference": float(np.abs(found - scores[order]).max()),
        "other_decisions": int((decided != decisions[order]).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("alone", "folder", "serving"))
    parser.add_argument("run", type=Path, help="a finished run with its export")
    parser.add_argument("--count", type=int, default=100_000, help="images in the folder")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--idx-dir", type=Path)
    flags = parser.parse_args()
    flags.run = flags.run.resolve()
    results = {"alone": alone, "folder": folder, "serving": serving}[flags.what](flags)
    print(json.dumps(results, indent=2))
    print("kept in", save(f"deployment-{flags.what}", results))


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
