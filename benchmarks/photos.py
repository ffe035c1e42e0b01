"""From image files to scores: `runtime.py` beside a plain loop of Pillow and one session.

    pip install -e '.[benchmarks]'
    python -m benchmarks.photos RUN [RUN ...]

RUN is the folder of an exported run. The photos are JPEG files in colour: parts of scikit-image's
CC0 pictures, enlarged, with the noise of a camera. The rival does what most people write first:
it opens, converts and scales one file after the other, and calls a session with default settings.
Both score the same files, in turns, in one process. The rival decodes every file in full, so that
scores differ a little; how much is kept as a share of their spread. What is kept:
benchmarks/results/photos.json.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.peers.timing import Effort, ratio, spread, take_turns
from benchmarks.results_file import kept, save
from benchmarks.texture_data import TEXTURES
from export.runtime import Scorer
from ganad_tf.errors import ArtefactError, DataError, run_cli
from ganad_tf.run_folder import load_config

# As many different photos; further ones are links to them.
DIFFERENT = 20
MODEL = "model.onnx"
# Grey levels, and the quality of the JPEG files.
NOISE, QUALITY = 3.0, 90
# Of two scores of one photo, in standard deviations of the scores of all photos.
TOLERANCE = 0.2


def write_photos(folder: Path, side: int, count: int) -> list[Path]:
    """Writes `count` JPEG files of side x side pixels in colour."""
    import skimage.data

    folder.mkdir()
    rng = np.random.default_rng(0)
    pictures = [getattr(skimage.data, name)() for name in TEXTURES]
    paths = [folder / f"{number:06d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        if number >= DIFFERENT:
            os.link(paths[number % DIFFERENT], path)
            continue
        picture = Image.fromarray(pictures[number % len(pictures)])
        part = picture.width // 2
        left, top = (int(corner) for corner in rng.integers(0, picture.width - part + 1, 2))
        box = (left, top, left + part, top + part)
        grey = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC, box), np.float32)
        noise = rng.standard_normal((side, side, 3), np.float32) * NOISE
        colours = grey[..., None] * rng.uniform(0.7, 1.0, 3).astype(np.float32) + noise
        pixels = np.clip(colours, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, quality=QUALITY)
    return paths


def plain_loop(model: Path, scorer: Scorer) -> Callable[[Sequence[Path]], np.ndarray]:
    """The rival: from paths to scores [N]."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    height, width, channels = scorer.image_shape

    def score(paths: Sequence[Path]) -> np.ndarray:
        scores = []
        for path in paths:
            image = Image.open(path).convert("L" if channels == 1 else "RGB")
            image = image.resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.asarray(image).reshape(1, height, width, channels)
            scores.append(session.run(["score"], {"images": pixels})[0][0])
        return np.array(scores)

    return score


def our_scores(scorer: Scorer, paths: Sequence[Path]) -> np.ndarray:
    """The scores of files, [N]."""
    return np.array([record["score"] for record in scorer.score_files(paths)])


def compare(run: Path, side: int, count: int, rounds: int) -> dict:
    """Both sides over a folder of `count` photos."""
    model = run / MODEL
    scorer = Scorer(model)
    rival = plain_loop(model, scorer)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photos(Path(folder) / "photos", side, count)
        some = paths[:DIFFERENT]
        theirs = rival(some)
        apart = float(np.abs(our_scores(scorer, some) - theirs).max() / theirs.std())
        if apart > TOLERANCE:
            raise ArtefactError(
                f"scores must agree to {TOLERANCE} of their spread. Received: {apart:.2g} apart"
            )
        sides = {"plain": lambda: rival(paths), "ours": lambda: our_scores(scorer, paths)}
        times = take_turns(sides, Effort(rounds, seconds=0.0))
    speeds = {name: spread([count / one for one in seconds]) for name, seconds in times.items()}
    faster = ratio(times["plain"], times["ours"])
    for name, speed in speeds.items():
        print(f"{side} px  {name:6} {speed['median']:7.1f} images/s")
    print(f"{side} px  ratio {faster['median']:.2f} ({faster['low']:.2f} to {faster['high']:.2f})")
    print(f"{side} px  scores at most {apart:.3f} of their spread apart", flush=True)
    return {
        "image_shape": list(scorer.image_shape),
        "encoder": load_config(run).encoder,
        "side": side,
        "count": count,
        "apart": apart,
        "images_per_second": speeds,
        "ratio": faster,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 1000, 4000])
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=5)
    flags = parser.parse_args()
    for run in flags.runs:
        if not (run / MODEL).is_file():
            raise DataError(f"expected an exported run with {MODEL}. Received: {run}")
    cells = [
        compare(run, side, flags.count, flags.rounds) for run in flags.runs for side in flags.sides
    ]
    save("photos", {"rounds": flags.rounds, "cells": _with_others(cells)})


def _with_others(cells: list[dict]) -> list[dict]:
    """The new cells, and the kept ones of other models or sizes."""

    def compared(cell: dict) -> tuple:
        return tuple(cell["image_shape"]), cell["encoder"], cell["side"]

    earlier = (kept("photos") or {"cells": []})["cells"]
    new = {compared(cell) for cell in cells}
    return [*(cell for cell in earlier if compared(cell) not in new), *cells]


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
