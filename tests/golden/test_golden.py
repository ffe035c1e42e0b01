"""Short fixed runs give the same weights, scorer, metadata and scores, whatever the code's shape.

The kept values lie beside this file. On the machine and libraries that wrote them they are
reproduced bit for bit; elsewhere convolutions round otherwise, so numbers are compared with a
tolerance. `GANAD_GOLDEN=exact` asks for equality, `GANAD_GOLDEN=write` keeps new values: say in
the commit which lines changed, and why.
"""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from PIL import Image

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MODE = os.environ.get("GANAD_GOLDEN", "near")
SHORT = ["--epochs", "2", "--steps-per-epoch", "4", "--width", "4", "--discriminator-width", "4"]
CASES = {
    "seen": ["--normal", "7"],
    "none": ["--normal", "0", "--protocol", "none"],
    "few-labels": ["--data", "photos", "--image-size", "32", "--encoder", "none"],
    "masks": ["--data", "masked", "--image-size", "32", "--encoder", "none"],
}
QUICK = "masks"  # the one that always runs
# Rounding differs between processors, and a few steps of Adam enlarge it.
TOLERANCE = 0.05
ROWS = 97  # every so many rows of scores.csv are kept, and a digest of all of them


def _tile(rng: np.random.Generator, defect: bool) -> tuple[np.ndarray, np.ndarray]:
    """A striped, noisy tile and the mask of its dark square, if it has one."""
    tile = 128 + 30 * np.sin(np.arange(40) / 3)[None] + rng.normal(0, 8, (40, 40))
    mask = np.zeros((40, 40), np.uint8)
    if defect:
        top, left = rng.integers(0, 28, 2)
        tile[top : top + 12, left : left + 12] = 20
        mask[top : top + 12, left : left + 12] = 255
    return np.clip(tile, 0, 255).astype(np.uint8), mask


def _write_photos(folder: Path, masks: bool) -> None:
    rng = np.random.default_rng(0)
    for kind, count in (("normal", 60), ("anomaly/hole", 16)):
        for number in range(count):
            tile, mask = _tile(rng, kind != "normal")
            files = {folder / kind / f"{number}.png": tile}
            if masks and kind != "normal":
                files[folder / "ground_truth" / "hole" / f"{number}_mask.png"] = mask
            for path, pixels in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)


def _run(cwd: Path, *command: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_NUM_INTRAOP_THREADS": "1"}
    environment["TF_ENABLE_ONEDNN_OPTS"] = "0"  # its kernels differ between processors
    result = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def _weights(path: Path) -> tuple[str, list[float]]:
    """sha256 of all arrays in a `.keras` file, and the norm of each."""
    arrays = {}
    with (
        zipfile.ZipFile(path) as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file,
    ):
        file.visititems(
            lambda name, item: (
                arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    norms = [float(np.linalg.norm(np.float64(arrays[name]))) for name in sorted(arrays)]
    return digest.hexdigest(), norms


def _outcome(folder: Path) -> dict:
    digest, norms = _weights(folder / "model.keras")
    metadata = onnx.load(folder / "model.onnx").metadata_props
    text = (folder / "scores.csv").read_text(encoding="utf-8")
    return {
        "weights": digest,
        "norms": norms,
        "scorer": json.loads((folder / "detector" / "scorer.json").read_text()),
        "onnx": {entry.key: entry.value for entry in metadata},
        "scores": hashlib.sha256(text.encode()).hexdigest(),
        "rows": list(csv.reader(io.StringIO(text)))[::ROWS],
    }


def _assert_near(ours, kept, place: str = "") -> None:
    """Equal structure and text, numbers within the tolerance."""
    if isinstance(kept, dict):
        assert ours.keys() == kept.keys(), place
        for key in kept:
            _assert_near(ours[key], kept[key], f"{place}/{key}")
    elif isinstance(kept, list):
        assert len(ours) == len(kept), place
        for number, (one, other) in enumerate(zip(ours, kept, strict=True)):
            _assert_near(one, other, f"{place}/{number}")
    elif isinstance(kept, str):
        _assert_near_text(ours, kept, place)
    elif isinstance(kept, float) or isinstance(ours, float):
        assert ours == pytest.approx(kept, rel=TOLERANCE, abs=TOLERANCE), place
    else:
        assert ours == kept, place


def _assert_near_text(ours: str, kept: str, place: str) -> None:
    try:
        ours_value, kept_value = json.loads(ours), json.loads(kept)
    except ValueError:
        assert ours == kept, place
        return
    _assert_near(ours_value, kept_value, place)


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=() if case == QUICK else pytest.mark.slow) for case in CASES],
)
def test_a_short_run_gives_the_kept_outcome(case, tmp_path):
    _write_photos(tmp_path / "photos", masks=False)
    _write_photos(tmp_path / "masked", masks=True)
    _run(tmp_path, str(ROOT / "train.py"), *CASES[case], *SHORT, "--output", "run")
    _run(tmp_path, "-m", "export", "run", "--formats", "onnx")
    outcome = _outcome(tmp_path / "run")
    path = HERE / f"{case}.json"
    if MODE == "write":
        path.write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")
        return
    kept = json.loads(path.read_text(encoding="utf-8"))
    if MODE == "exact":
        assert outcome == kept
        return
    exact = ("weights", "scores")
    _assert_near(
        {key: value for key, value in outcome.items() if key not in exact},
        {key: value for key, value in kept.items() if key not in exact},
    )
