"""Quality with mixed precision against float32: a shortened run on sneakers in each format.

    python -m benchmarks.precision

Each finished run is kept at once; a second call goes on with those that are missing. On a CPU the
mixed formats are emulated and slow; the benchmark measures quality, not speed.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.results_file import RESULTS, save
from ganad_tf.atomic_files import read_json

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def run(precision: str, epochs: int, data: list[str]) -> dict:
    """Trains and exports in a process of its own; the export fails unless it equals Keras."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        train = ["train.py", "--normal", "7", "--precision", precision, "--epochs", str(epochs)]
        subprocess.run([sys.executable, *train, "--output", str(folder), *data], check=True)
        export = ["-m", "export", str(folder), "--formats", "saved_model,onnx", *data]
        subprocess.run([sys.executable, *export], check=True)
        metrics = read_json(folder / "metrics.json")
        kept = ("auroc", "images_seen", "training_seconds", "execution")
        return {
            **{name: metrics[name] for name in kept},
            "precision": precision,
            "parity": read_json(folder / "export.json")["parity"],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--data-dir")
    flags = parser.parse_args()
    data = ["--data-dir", flags.data_dir] if flags.data_dir else []
    for precision in PRECISIONS:
        name = f"precision-{precision}"
        if (RESULTS / f"{name}.json").exists():
            print(f"{precision}: kept already")
            continue
        save(name, run(precision, flags.epochs, data))
    aurocs = {p: read_json(RESULTS / f"precision-{p}.json")["auroc"] for p in PRECISIONS}
    for precision, auroc in aurocs.items():
        print(f"{precision:15} AUROC {auroc:.4f} ({auroc - aurocs['float32']:+.4f})")


if __name__ == "__main__":
    main()
