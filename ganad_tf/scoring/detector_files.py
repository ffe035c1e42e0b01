"""The files of a saved detector."""

from collections.abc import Collection, Mapping
from pathlib import Path

import keras
import numpy as np

from ganad_tf.errors import ArtefactError, UsageError
from ganad_tf.scoring.encoder_features import EncoderFeatures

GENERATOR, SCORER, DISTANCES = "generator.keras", "scorer.json", "scorer.npz"
RANGES = "image_ranges.json"
ENCODER, ENCODER_ARRAYS = "encoder.keras", "encoder.npz"
FILES = frozenset({GENERATOR, SCORER, DISTANCES, RANGES, ENCODER, ENCODER_ARRAYS})


def check_replaceable(folder: Path) -> None:
    """Checks that a detector may take a folder's place: that nothing else would be removed.

    Args:
        folder: need not exist.

    Raises:
        UsageError: if it is a file, or holds anything but a detector.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"folder must be a folder. Received: {folder}, a file")
    others = sorted({path.name for path in folder.iterdir()} - FILES)
    if others:
        raise UsageError(
            "folder must be new, empty or a saved detector's, because it is replaced. "
            f"Received: {folder}, which holds {others[0]}"
        )


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays to an .npz file; they can be read without pickle."""
    # NumPy's stubs take any keyword for `allow_pickle`, too; no array has that name.
    np.savez(path, **arrays)  # type: ignore[arg-type]


def load_network(path: Path) -> keras.Model:
    """Reads a network in safe mode."""
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def save_encoder(encoder: EncoderFeatures, folder: Path) -> None:
    """Writes a pretrained encoder and what was fitted to it."""
    encoder.encoder.save(folder / ENCODER)
    save_arrays(folder / ENCODER_ARRAYS, encoder.to_arrays())


def load_encoder(folder: Path) -> EncoderFeatures | None:
    """Reads what `save_encoder` wrote; None if the detector has no encoder."""
    if not (folder / ENCODER_ARRAYS).exists():
        return None
    with np.load(folder / ENCODER_ARRAYS, allow_pickle=False) as arrays:
        return EncoderFeatures.from_arrays(load_network(folder / ENCODER), arrays)


def check_encoder(folder: Path, missing: Collection[str]) -> None:
    """Checks that everything in the score can be measured.

    Args:
        folder: of the detector.
        missing: components that cannot be; all others belong to the generator.

    Raises:
        ArtefactError: if there are some, because the encoder's files are gone.
    """
    if missing:
        raise ArtefactError(
            f"{folder}: expected {ENCODER_ARRAYS} and {ENCODER}, which measure "
            f"{', '.join(sorted(missing))}. Received: none"
        )
