"""Pixel masks of defects: where an anomaly is anomalous."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ganad_tf.data.folder.decoding import describe, open_image, placed
from ganad_tf.data.folder.layout import BadFile, FoundImage, list_masks, mask_key
from ganad_tf.errors import DataError


def match_masks(
    root: Path, layout: str, images: Sequence[FoundImage], readable: set[str]
) -> tuple[dict[str, str], list[BadFile]]:
    """Finds and checks the masks of anomalies.

    Args:
        root: the data folder.
        layout: of `ganad_tf.data.folder.layout`.
        images: all images found in it.
        readable: paths of the images that can be decoded; the masks of others are not looked at.

    Returns:
        The masks that fit, path of the image -> path of the mask, and what does not fit: a mask
        missing from MVTec's test part (unless that has none at all), one without its image, of
        another size than its image, empty, or unreadable. A name that is in MVTec's test and its
        training part is the test image's.
    """
    found = list_masks(root, layout)
    # The test images first, because of names that occur twice.
    anomalies = sorted((i for i in images if i.is_anomaly), key=lambda i: i.official != "test")
    all_tested = any(i.official == "test" and mask_key(i.path) in found for i in anomalies)
    masks, bad = {}, []
    for image in anomalies:
        mask = found.pop(mask_key(image.path), None)
        if image.path not in readable:
            continue
        if mask is None:
            if all_tested and image.official == "test":
                missing = f"ground_truth/{mask_key(image.path)}_mask.png"
                reason = f"expected the mask of {image.path}. Received: no file"
                bad.append(BadFile(missing, reason))
            continue
        try:
            _check(root / mask, root / image.path)
            masks[image.path] = mask
        except Exception as error:  # Pillow's readers raise dozens of types on damaged files
            bad.append(BadFile(mask, describe(error)))
    for path in found.values():
        bad.append(BadFile(path, "expected the mask of an anomaly. Received: no such image"))
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


class Places:
    """Where training anomalies are anomalous; reads masks when they are asked for.

    Indexing it with int [n] gives uint8 [n, S, S, 1]: 255 in anomalous pixels, 0 in others; 255
    everywhere for an image without a mask.

    Args:
        paths: the mask of each anomaly, or None.
        image_size: S.
        fit: see `read_mask`.
    """

    def __init__(self, paths: Sequence[Path | None], image_size: int, fit: str = "stretch"):
        self._paths = list(paths)
        self._shape = (image_size, image_size)
        # Masks are drawn again and again; as many as these take 256 MB at most.
        self._read = functools.lru_cache(4096)(lambda path: read_mask(path, image_size, fit))

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def known(self) -> int:
        """How many anomalies have a mask."""
        return sum(path is not None for path in self._paths)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        everywhere = np.ones(self._shape, bool)
        paths = [self._paths[index] for index in indices]
        masks = [everywhere if path is None else self._read(path) for path in paths]
        return np.array(masks, np.uint8).reshape(-1, *self._shape, 1) * 255


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
