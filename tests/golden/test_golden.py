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
# The moving average would keep so short a run at its first weights, with almost equal scores.
SHORT = [
    *("--epochs", "2", "--steps-per-epoch", "30", "--average-momentum", "0"),
    *("--learning-rate", "0.004"),
    *("--width", "4", "--discriminator-width", "4"),
]
CASES = {
    "seen": ["--normal", "7"],
    "none": ["--normal", "0", "--protocol", "none"],
    "few-labels": ["--data", "photos", "--image-size", "32", "--encoder", "none"],
    "masks": ["--data", "masked", "--image-size", "32", "--encoder", "none"],
}
QUICK = "masks"  # the one that always runs
# Rounding differs between processors, and a few steps of Adam enlarge it. Relative to a number or,
# in a list, to the largest of them.
TOLERANCE = 0.05
NORMS_TOLERANCE = 0.2  # Adam moves weights of almost no gradient by the sign of their rounding
ROWS = 100  # about so many rows of scores.csv are kept, and a digest of all of them


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
        "table": _columns(text),
    }


def _columns(text: str) -> dict[str, list]:
    """Some rows of scores.csv, by column, without decisions, which flip next to the threshold."""
    rows = list(csv.DictReader(io.StringIO(text)))
    rows = rows[:: max(1, len(rows) // ROWS)]
    columns = {name: [row[name] for row in rows] for name in rows[0] if name != "is_anomaly"}
    numbers = {name: [float(value) for value in columns[name]] for name in ("score", "probability")}
    return {**columns, **numbers}


def _assert_near(ours, kept, place: str = "", scale: float = 0.0) -> None:
    """Equal structure and text, numbers within the tolerance."""
    if isinstance(kept, dict):
        assert ours.keys() == kept.keys(), place
        for key in kept:
            _assert_near(ours[key], kept[key], f"{place}/{key}")
    elif isinstance(kept, list):
        assert len(ours) == len(kept), place
        largest = max((abs(one) for one in kept if isinstance(one, float)), default=0.0)
        for number, (one, other) in enumerate(zip(ours, kept, strict=True)):
            _assert_near(one, other, f"{place}/{number}", largest)
    elif isinstance(kept, str):
        _assert_near_text(ours, kept, place)
    elif isinstance(kept, float) or isinstance(ours, float):
        assert ours == pytest.approx(kept, rel=TOLERANCE, abs=TOLERANCE * scale), place
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
    if MODE == "write":
        path = HERE / f"{case}.json"
        path.write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")
        return
    kept = _kept(case)
    if MODE == "exact":
        assert outcome == kept
        return
    _assert_outcome_near(outcome, kept)


def _assert_outcome_near(outcome: dict, kept: dict) -> None:
    assert outcome["norms"] == pytest.approx(kept["norms"], rel=NORMS_TOLERANCE, abs=1e-12)
    for key in ("scorer", "onnx", "table"):
        _assert_near(outcome[key], kept[key], key)


def _kept(case: str) -> dict:
    return json.loads((HERE / f"{case}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "change",
    [
        lambda one: one["scorer"].update(threshold=one["scorer"]["threshold"] * 1.1),
        lambda one: one["scorer"]["components"][0].update(weight=0.0),
        lambda one: one["scorer"]["normal_scores"].__setitem__(0, one["scorer"]["threshold"]),
        lambda one: one["table"].update(score=one["table"]["score"][::-1]),
        lambda one: one.update(norms=[norm * 1.3 for norm in one["norms"]]),
        lambda one: one["onnx"].update(threshold="0.0"),
    ],
)
def test_a_changed_outcome_is_noticed(case, change):
    changed = _kept(case)
    _assert_outcome_near(changed, _kept(case))
    change(changed)
    with pytest.raises(AssertionError):
        _assert_outcome_near(changed, _kept(case))
