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

from benchmarks.results_file import kept_with, save
from ganad_tf.atomic_files import read_json
from ganad_tf.errors import run_cli

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
EPOCHS = 6


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
            "epochs": epochs,
            "parity": read_json(folder / "export.json")["parity"],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--data-dir")
    flags = parser.parse_args()
    data = ["--data-dir", flags.data_dir] if flags.data_dir else []
    names = {precision: f"precision-{precision}" for precision in PRECISIONS}
    # All are asked for first: a wrong --epochs must not be noticed after hours.
    found = {p: kept_with(name, "epochs", flags.epochs, EPOCHS) for p, name in names.items()}
    for precision, known in found.items():
        if known is not None:
            print(f"{precision}: kept already")
            continue
        found[precision] = run(precision, flags.epochs, data)
        save(names[precision], found[precision])
    aurocs = {precision: result["auroc"] for precision, result in found.items()}
    for precision, auroc in aurocs.items():
        print(f"{precision:15} AUROC {auroc:.4f} ({auroc - aurocs['float32']:+.4f})")


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
