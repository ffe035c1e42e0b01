"""Exports a detector that has no run folder: `Detector.export`."""

import os
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganad_tf.data.image_view import ImageView
from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.errors import UsageError
from ganad_tf.scoring import Detector

from .pipeline import PATHS, export

# Images that are made up to compare the formats: enough for a batch, quickly scored.
MADE_UP, COARSE = 16, 8


def write(detector: Detector, path: Path, images: np.ndarray | ImageView | None = None) -> None:
    """Writes model.onnx and a SavedModel into a folder, or one ONNX file.

    Args:
        detector: what to export.
        path: a file ending in `.onnx`, which is replaced if it exists, or a folder.
        images: uint8 [N, h, w, C] on which all formats must agree; by default made up.

    Raises:
        UsageError: if the path is another kind of file.
        ArtefactError: if formats disagree; nothing is written then.
    """
    images = made_up_images(detector.image_shape) if images is None else images
    part = LabelledImages(images, np.zeros(len(images), np.int64), ("normal",), frozenset([0]))
    splits = Splits(part, part, part, "normal", "none", fingerprint="")
    if path.suffix != ".onnx":
        if path.exists() and not path.is_dir():
            raise UsageError(f"path must end in .onnx or be a folder. Received: {path}")
        export(detector, splits, path, ("saved_model", "onnx"))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        export(detector, splits, Path(folder), ("onnx",))
        os.replace(Path(folder) / PATHS["onnx"], path)


def made_up_images(image_shape: tuple[int, ...]) -> np.ndarray:
    """Smooth random images, uint8 [16, h, w, C], the same at every call."""
    height, width, channels = image_shape
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (MADE_UP, COARSE, COARSE, channels)).astype(np.float32)
    smooth = tf.image.resize(coarse, (height, width), "bicubic").numpy()
    return np.clip(smooth, 0, 255).astype(np.uint8)
