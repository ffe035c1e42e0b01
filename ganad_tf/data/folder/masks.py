"""Finds the mask file of each anomaly in a data folder and checks that it fits."""

from collections.abc import Sequence
from pathlib import Path

from ganad_tf.data.folder.decoding import describe, open_image
from ganad_tf.data.folder.layout import BadFile, FoundImage, list_masks, mask_key
from ganad_tf.data.masks import defective_pixels
from ganad_tf.errors import DataError


def match_masks(
    root: Path, layout: str, images: Sequence[FoundImage], readable: set[str]
) -> tuple[dict[str, str], list[BadFile]]:
    """Finds and checks the masks of anomalies.

    If a name occurs in both the test and the training part of MVTec's layout, the mask belongs to
    the test image.

    Args:
        root: the data folder.
        layout: `own` or `MVTec`; see `ganad_tf.data.folder.layout`.
        images: all images found in the folder.
        readable: paths of the images that can be decoded. Masks of other images are not checked.

    Returns:
        Path of the image -> path of its mask, for the masks that fit, and the masks that do not. A
        mask does not fit if it is unreadable, empty, of another size than its image, or without an
        image. It is missing if other images of MVTec's test part have one and this one does not.
    """
    found = list_masks(root, layout)
    # Test images come first, so that they get the mask if a name occurs twice.
    anomalies = sorted((i for i in images if i.is_anomaly), key=lambda i: i.official != "test")
    test_has_masks = any(i.official == "test" and mask_key(i.path) in found for i in anomalies)
    masks, bad = {}, []
    for image in anomalies:
        mask = found.pop(mask_key(image.path), None)
        if image.path not in readable:
            continue
        if mask is None:
            if test_has_masks and image.official == "test":
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


def _check(mask: Path, image: Path) -> None:
    defective = defective_pixels(mask)
    with open_image(image) as opened:
        expected = opened.size
    if defective.shape[::-1] != expected:
        raise DataError(
            f"expected a mask of its image's size, {expected[0]}x{expected[1]}. "
            f"Received: {defective.shape[1]}x{defective.shape[0]}"
        )
    if not defective.any():
        raise DataError("expected a mask that marks a defect. Received: only black pixels")
