"""From a mask file to defective pixels, and whether the result is plausible."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ganad_tf.data.image_files.decoding import open_image, orientation

# Up to this many different values are labels, each of which is a defect. More are shades, as JPEG
# and soft brushes make them.
MAX_LABELS = 16
# More than three values that all lie so near to black or to the brightest one are fringes, too.
_FRINGE = 0.1
# A mask of a larger share of the image is worth a note.
LARGE_SHARE = 0.5
_LOSSY = ("JPEG", "MPO")


@dataclass(frozen=True, eq=False)
class MaskFile:
    """A mask file at its own size.

    Args:
        defective: bool [H, W], true on defects.
        share: of the image that is defective, in [0, 1].
        any_value_share: the share if every value but black marked a defect.
        is_inverted: whether most of the image and of its border is defective.
    """

    defective: np.ndarray
    share: float
    any_value_share: float
    is_inverted: bool


def read_mask_file(path: Path, max_pixels: int | None = None) -> MaskFile:
    """Reads a mask file.

    - The value of a pixel is the largest of its colours, laid over black; its opacity if the
      picture has one colour alone.
    - With at most 16 different values and no JPEG, every value but 0 marks a defect: masks of 0 and
      1, of 0 and 255, of several labels and of any colours.
    - Otherwise a value of at least half the largest one does, which the fringes of JPEG and of soft
      brushes do not reach. So it is if more than three values are all nearly black or white.
    - The orientation in the EXIF data is applied, as for images.
    """
    with open_image(path, max_pixels) as mask:
        lossy = mask.format in _LOSSY
        turn = orientation(mask)
        values = _values(mask)
    if turn > 1:
        values = _upright(values, turn)
    distinct = np.unique(values)
    largest = float(distinct[-1]) if len(distinct) else 0.0
    defective = values > 0
    if _has_shades(distinct, lossy):
        defective &= values >= largest / 2
    share = float(defective.mean())
    border = np.concatenate([defective[0], defective[-1], defective[:, 0], defective[:, -1]])
    is_inverted = LARGE_SHARE < share < 1 and bool(border.mean() > LARGE_SHARE)
    return MaskFile(defective, share, float((values > 0).mean()), is_inverted)


def _has_shades(distinct: np.ndarray, lossy: bool) -> bool:
    """Whether values, ascending, are shades between black and white, and not labels."""
    if len(distinct) > (2 if lossy else MAX_LABELS):
        return True
    near = distinct[-1] * _FRINGE
    between = (distinct > near) & (distinct < distinct[-1] - near)
    return len(distinct) > 3 and not between.any()


def _values(mask: Image.Image) -> np.ndarray:
    """[H, W], 0 where nothing is drawn."""
    if mask.mode.startswith(("I", "F")):
        return np.nan_to_num(np.asarray(mask))
    if not mask.has_transparency_data:
        if mask.mode in ("1", "L"):
            return np.asarray(mask.convert("L"))
        return np.asarray(mask.convert("RGB")).max(-1)
    pixels = np.asarray(mask.convert("RGBA"))
    colours, opacity = pixels[..., :3], pixels[..., 3]
    laid = (colours.max(-1).astype(np.int32) * opacity + 254) // 255
    is_uniform = (colours == colours[:1, :1]).all()
    # A defect in black on a clear layer leaves nothing over black, either.
    if (is_uniform or not laid.any()) and (opacity != opacity[0, 0]).any():
        return opacity
    return laid


def _upright(values: np.ndarray, turn: int) -> np.ndarray:
    """Applies an EXIF orientation, 2 to 8, to [H, W]."""
    if turn >= 5:
        values = values.T
    if turn in (3, 4, 7, 8):
        values = values[::-1]
    return values[:, ::-1] if turn in (2, 3, 6, 7) else values
