"""Scores the test set through every exported format and compares: `python -m export.verify RUN`."""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from export import runtime
from ganad_tf.errors import ArtefactError, run_cli

# float32 formats: the same numbers up to the order of additions.
# 1e-5 holds on Fashion-MNIST. Where normal images are few and nearly equal, whitening magnifies
# what float32 rounds, and a user's export should not fail for a fifth digit; decisions must agree.
MOST_SCORE_DIFFERENCE = 1e-4
# OpenVINO approximates logarithms and exponentials; it checks that the files mean what we think.
MOST_OPENVINO_DIFFERENCE = 1e-3
MOST_AUROC_DROP = 0.001
LEAST_AGREEMENT = 0.995
BATCH = 128

Scored = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Row:
    """How one format compares with the detector itself, in Keras.

    Args:
        name: of the format.
        tolerance: the score difference that is allowed; None for int8, which need only be as
            good, and is held to AUROC and decisions instead.
        score_difference: the greatest.
        differing: how many decisions differ.
        auroc: on the test set; None if it holds one class only.
        per_second: images scored in a second.
        cold_start: seconds from process start to the first score; None where not measured.
    """

    name: str
    tolerance: float | None
    score_difference: float
    differing: int
    auroc: float | None
    per_second: float
    cold_start: float | None = None


def compare(
    detector,
    images: np.ndarray,
    is_anomaly: np.ndarray,
    folder: Path,
    files: dict[str, str],
    cold_starts: bool = True,
) -> list[Row]:
    """Scores images through Keras and each exported file.

    Args:
        detector: the `ganad_tf.scoring.Detector` of the run.
        images: uint8 [N, h, w, C].
        is_anomaly: bool [N].
        folder: where the exported files lie.
        files: path within `folder` of each of `saved_model`, `onnx` and `int8` that is there.
        cold_starts: also start a process for each format, which takes seconds for TensorFlow.
    """
    scorers = {"Keras": lambda batch: _keras(detector, batch)}
    commands: dict[str, list[str]] = {}
    if "saved_model" in files:
        scorers |= _saved_model(folder / files["saved_model"])
        commands["SavedModel"] = ["-c", _COLD_SAVED_MODEL, str(folder / files["saved_model"])]
    for kind, name in (("onnx", "ONNX float32"), ("int8", "ONNX int8")):
        if kind in files:
            path = folder / files[kind]
            scorers[name] = _onnx(path)
            commands[name] = ["-c", _COLD_ONNX, str(Path(runtime.__file__).parent), str(path)]
    scorers |= _openvino(folder, files)
    rows, reference = [], None
    for name, scorer in scorers.items():
        given = _as_png(images) if "bytes" in name else images
        scorer(given[:BATCH])  # the first call traces or allocates
        start = time.perf_counter()
        scores, decisions = scorer(given)
        per_second = len(images) / (time.perf_counter() - start)
        reference = reference or (scores, decisions)
        rows.append(
            Row(
                name,
                _tolerance(name),
                float(np.abs(scores - reference[0]).max()),
                int((decisions != reference[1]).sum()),
                _auroc(is_anomaly, scores),
                per_second,
                _cold_start(commands[name], images[0])
                if cold_starts and name in commands
                else None,
            )
        )
    return rows


def failures(rows: list[Row], count: int, most_auroc_drop: float = MOST_AUROC_DROP) -> list[str]:
    """What is wrong, one sentence each; empty if all formats agree.

    Args:
        rows: of `compare`; the first is the reference.
        count: how many images were scored.
        most_auroc_drop: allowed to int8.
    """
    found = []
    for row in rows[1:]:
        exact = row.tolerance == MOST_SCORE_DIFFERENCE
        if row.tolerance is not None and not row.score_difference <= row.tolerance:
            found.append(
                f"{row.name}: expected scores within {row.tolerance:g} of Keras. "
                f"Received: a difference of {row.score_difference:.2g}"
            )
        if exact and row.differing:
            found.append(
                f"{row.name}: expected Keras's decisions. "
                f"Received: {row.differing} of {count} differ"
            )
        # One decision is more than 0.5 % of a small test set, and says nothing yet.
        if not exact and row.differing > max(1, (1 - LEAST_AGREEMENT) * count):
            found.append(
                f"{row.name}: expected at least {LEAST_AGREEMENT:.1%} of Keras's decisions. "
                f"Received: {1 - row.differing / count:.2%} "
                "(--formats saved_model,onnx leaves int8 out)"
            )
        if row.auroc is not None and rows[0].auroc - row.auroc > most_auroc_drop:
            found.append(
                f"{row.name}: expected an AUROC at most {most_auroc_drop:g} below "
                f"{rows[0].auroc:.4f}. Received: {row.auroc:.4f} "
                "(--max-auroc-drop allows more, --formats saved_model,onnx leaves int8 out)"
            )
    return found


def table(rows: list[Row]) -> str:
    """The comparison as text."""
    lines = [
        f"{'format':24s}{'score diff':>12s}{'decisions':>11s}{'AUROC':>9s}{'images/s':>10s}"
        f"{'cold start':>12s}"
    ]
    for row in rows:
        auroc = "-" if row.auroc is None else f"{row.auroc:.5f}"
        cold = "-" if row.cold_start is None else f"{row.cold_start:.2f} s"
        lines.append(
            f"{row.name:24s}{row.score_difference:12.1e}{row.differing:11d}{auroc:>9s}"
            f"{row.per_second:10,.0f}{cold:>12s}"
        )
    return "\n".join(lines)


def _tolerance(name: str) -> float | None:
    if "int8" in name:
        return None
    return MOST_OPENVINO_DIFFERENCE if "OpenVINO" in name else MOST_SCORE_DIFFERENCE


def _keras(detector, images) -> Scored:
    results = detector.predict(images, outputs=("score", "is_anomaly"))
    return results["score"], results["is_anomaly"]


def _in_batches(run: Callable, inputs) -> Scored:
    parts = [run(inputs[start : start + BATCH]) for start in range(0, len(inputs), BATCH)]
    scores, decisions = zip(*parts, strict=True)
    return np.concatenate(scores), np.concatenate(decisions)


def _saved_model(folder: Path) -> dict[str, Callable]:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))

    def scorer(signature: str, argument: str) -> Callable:
        function = loaded.signatures[signature]

        def run(batch):
            results = function(**{argument: tf.constant(batch)})
            return results["score"].numpy(), results["is_anomaly"].numpy()

        return lambda inputs: _in_batches(run, inputs)

    return {
        "SavedModel": scorer("serve", "images"),
        "SavedModel, file bytes": scorer("serve_encoded", "encoded"),
    }


def _onnx(path: Path) -> Callable:
    scorer = runtime.Scorer(path)

    def run(images) -> Scored:
        results = scorer.score(images)
        return results["score"], results["is_anomaly"]

    return run


def _openvino(folder: Path, files: dict[str, str]) -> dict[str, Callable]:
    """An independent reader of the ONNX file and the SavedModel; nothing if not installed."""
    try:
        import openvino
    except ImportError:
        return {}
    found = {}
    for kind, name in (("onnx", "OpenVINO of ONNX"), ("saved_model", "OpenVINO of SavedModel")):
        if kind in files:
            # Its default on some CPUs is bfloat16, which is another model's accuracy.
            hint = {"INFERENCE_PRECISION_HINT": "f32"}
            core = openvino.Core()
            model = core.compile_model(core.read_model(folder / files[kind]), "CPU", hint)

            def run(batch, model=model):
                results = model({"images": batch})
                return results["score"].copy(), results["is_anomaly"].astype(bool)

            found[name] = lambda inputs, run=run: _in_batches(run, inputs)
    return found


def _as_png(images: np.ndarray) -> np.ndarray:
    from export.saved_model import png_bytes

    return np.array([png_bytes(image) for image in images], dtype=object)


def _auroc(is_anomaly: np.ndarray, scores: np.ndarray) -> float | None:
    from sklearn.metrics import roc_auc_score

    both = is_anomaly.any() and not is_anomaly.all()
    return float(roc_auc_score(is_anomaly, scores)) if both else None


_COLD_ONNX = """
import json, sys; sys.path.insert(0, sys.argv[1])
import numpy as np, runtime
runtime.Scorer(sys.argv[2]).score(np.zeros(json.load(sys.stdin), np.uint8))
"""
_COLD_SAVED_MODEL = """
import json, sys, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
model.signatures["serve"](images=tf.zeros(json.load(sys.stdin), tf.uint8))
"""


def _cold_start(command: list[str], image: np.ndarray) -> float:
    """Seconds that a new process needs for one image; the best of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, *command],
            input=json.dumps([1, *image.shape]),
            text=True,
            check=True,
            capture_output=True,
        )
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m export.verify", description=__doc__)
    from export.__main__ import add_source_flags, load_run

    parser.add_argument("run", type=Path, help="the run folder, already exported")
    parser.add_argument("--output", type=Path, help="where it was exported to (default: RUN)")
    parser.add_argument(
        "--max-auroc-drop",
        type=float,
        default=MOST_AUROC_DROP,
        help=f"allowed to int8 (default: {MOST_AUROC_DROP})",
    )
    add_source_flags(parser)
    flags = parser.parse_args()
    folder = flags.output or flags.run
    if not (folder / "export.json").is_file():
        raise ArtefactError(
            f"{folder}: expected an exported run (python -m export {flags.run}). "
            "Received: no export.json"
        )
    files = json.loads((folder / "export.json").read_text(encoding="utf-8"))["formats"]
    detector, splits = load_run(flags.run, flags)
    rows = compare(detector, splits.test.images, splits.test.is_anomaly, folder, files)
    print(table(rows))
    wrong = failures(rows, len(splits.test), flags.max_auroc_drop)
    for sentence in wrong:
        print(f"error: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(run_cli(main))
