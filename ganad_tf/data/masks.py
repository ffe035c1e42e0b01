"""Pixel masks of defects, as the MVTec layout has them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ganad_tf.data.decoding import describe, open_image, placed
from ganad_tf.data.layout import BadFile, FoundImage, list_masks, mask_key
from ganad_tf.errors import DataError


def match_masks(
    root: Path, images: Sequence[FoundImage], readable: set[str]
) -> tuple[dict[str, str], list[BadFile]]:
    """Finds and checks the mask of every anomalous test image.

    Args:
        root: the data folder.
        images: all images found in it.
        readable: paths of the images that can be decoded; the masks of others are not looked at.

    Returns:
        The masks that fit, path of the image -> path of the mask, and what does not fit: a missing
        mask (unless there are none at all), one without its image, of another size than its image,
        empty, or unreadable.
    """
    found = list_masks(root)
    if not found:
        return {}, []
    masks, bad = {}, []
    for image in images:
        if image.official != "test" or not image.is_anomaly:
            continue
        mask = found.pop(mask_key(image.path), None)
        if image.path not in readable:
            continue
        if mask is None:
            missing = f"ground_truth/{mask_key(image.path)}_mask.png"
            bad.append(BadFile(missing, f"expected the mask of {image.path}. Received: no file"))
            continue
        try:
            _check(root / mask, root / image.path)
            masks[image.path] = mask
        except Exception as error:  # Pillow's readers raise dozens of types on damaged files
            bad.append(BadFile(mask, describe(error)))
    for path in found.values():
        bad.append(BadFile(path, "expected the mask of a test image. Received: no such image"))
    return masks, bad


def read_mask(path: Path, image_size: int, fit: str = "stretch") -> np.ndarray:
    """Reads a mask and scales it as its image is, by `fit`; what is padded has no defect.

    A pixel is defective if at least half of its area is; where none is, the pixels with the
    largest share are, so that no defect is too fine to be looked for.

    Returns:
        bool [S, S].
    """
    share = Image.fromarray(_defective(path).astype(np.float32))
    left, top, wide, high = placed(share.size, (image_size, image_size), fit)
    share = np.asarray(share.resize((wide, high), Image.Resampling.BOX))
    mask = np.zeros((image_size, image_size), bool)
    mask[top : top + high, left : left + wide] = share >= min(0.5, share.max())
    return mask


def _defective(path: Path) -> np.ndarray:
    """bool [H, W]: every value but black marks a defect, so 0/1 masks will do as well as 0/255."""
    with open_image(path) as mask:
        if not mask.mode.startswith(("I", "F")):
            mask = mask.convert("L")
        return np.asarray(mask) > 0


def _check(mask: Path, image: Path) -> None:
    defective = _defective(mask)
    with open_image(image) as opened:
        expected = opened.size
    if defective.shape[::-1] != expected:
        raise DataError(
            f"expected a mask of its image's size, {expected[0]}x{expected[1]}. "
            f"Received: {defective.shape[1]}x{defective.shape[0]}"
        )
    if not defective.any():
        raise DataError("expected a mask that marks a defect. Received: black alone")
