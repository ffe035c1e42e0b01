"""Images, labels and masks as arrays. They are handled as files of the same pixels would be."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from ganad_tf.data.folder.image_size import size_for
from ganad_tf.data.folder.options import FolderOptions
from ganad_tf.data.folder.split_file import draw_parts
from ganad_tf.data.image_files.decoding import prepare
from ganad_tf.data.image_view import ImageView
from ganad_tf.data.images import LabelledImages, pixel_digest
from ganad_tf.data.masks import Masks, scaled_mask
from ganad_tf.data.splits import Splits
from ganad_tf.errors import DataError

NORMAL = "normal"
EXPECTED = "images must be uint8 [N, H, W, 1 or 3], [N, H, W] if they are grey, or a sequence"


class ArrayMasks(Masks):
    """Masks that are in memory.

    Args:
        masks: bool [S, S] for each image, or None without a mask.
        is_anomaly: bool [N], which of the images are anomalies.
        image_size: S.
    """

    def __init__(self, masks: Sequence[np.ndarray | None], is_anomaly: np.ndarray, image_size: int):
        super().__init__([None] * len(masks), is_anomaly, image_size)
        self._paths = tuple(masks)  # type: ignore[arg-type]
        self._read = lambda mask: mask  # type: ignore[assignment]


def prepare_images(
    images: np.ndarray | ImageView | Sequence[np.ndarray],
    image_shape: tuple[int, ...],
    resize: str = "stretch",
) -> np.ndarray:
    """Brings images of any size to one shape, by the rule for image files.

    Args:
        images: uint8 [N, H, W, C], [N, H, W], or a sequence of [H, W, C] and [H, W]; C is 1 or 3.
        image_shape: (h, w, C).
        resize: `stretch` or `pad`; see `ganad_tf.data.image_files.decoding.prepare`.

    Returns:
        uint8 [N, h, w, C].

    Raises:
        DataError: if the images are of another type or shape, or there is none.
    """
    height, width, channels = image_shape
    shape = (height, width, channels)
    return np.stack(
        [
            # Pillow has no shape [H, W, 1].
            prepare(Image.fromarray(one[..., 0] if one.shape[-1] == 1 else one), shape, resize)
            for one in _each(images)
        ]
    )


def split_arrays(
    images: np.ndarray | ImageView | Sequence[np.ndarray],
    labels: Sequence[int] | Sequence[str] | np.ndarray | None,
    masks: np.ndarray | Sequence[np.ndarray | None] | None,
    options: FolderOptions,
) -> Splits:
    """Makes the training and the validation part of arrays; the test part is empty.

    Args:
        images: as for `prepare_images`.
        labels: [N]; 0 or `normal` for normal images, another number or name for each kind of
            anomaly. None if all images are normal.
        masks: for each image its defective pixels [H, W], which are not 0; None, or no such pixel,
            where they are unknown. Masks of normal images are not used.
        options: image size, channels and shares; settings of files do not matter.

    Raises:
        DataError: if an argument has another form, or too few images are normal.
    """
    each = _each(images)
    kinds, names = number_kinds(labels, len(each))
    size = options.image_size or size_for([min(one.shape[:2]) for one in each])
    channels = options.channels or max(one.shape[-1] for one in each)
    options = dataclasses.replace(options, image_size=size, channels=channels)  # checks them
    pixels = prepare_images(each, (size, size, channels), options.resize)
    data = LabelledImages(pixels, kinds, names, frozenset([0]))
    scaled = [None] * len(each) if masks is None else _scaled_masks(masks, each, size, options)
    data = dataclasses.replace(data, masks=ArrayMasks(scaled, data.is_anomaly, size))
    digests = np.array([pixel_digest(one).hex() for one in pixels])
    try:
        parts = draw_parts(kinds, digests, options.validation_fraction, 0, options.seed)
    except DataError as error:
        raise DataError(f"images: {error}") from None
    # A single anomaly is not enough for both parts; it is learnt from.
    parts[parts == "unused"] = "train"
    if not options.learn_anomalies:
        parts[data.is_anomaly] = "unused"
    train, validation, test = (
        data.subset(np.flatnonzero(parts == part)) for part in ("train", "validation", "test")
    )
    return Splits(
        train=train,
        validation=validation,
        test=test,
        normal_name=names[0],
        protocol="seen" if train.is_anomaly.any() else "none",
        fingerprint=_fingerprint(data, digests, parts, scaled),
        resize=options.resize,
    )


def number_kinds(
    labels: Sequence[int] | Sequence[str] | np.ndarray | None, count: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The number of each image's kind, 0 for normal, and the names of the kinds.

    Args:
        labels: as for `split_arrays`.
        count: N.

    Returns:
        int64 [N], and the names.

    Raises:
        DataError: if there is not one label for each image, or a label is not as above.
    """
    if labels is None:
        return np.zeros(count, np.int64), (NORMAL,)
    values = np.asarray(labels)
    if values.shape != (count,):
        raise DataError(
            f"labels must be [{count}], one for each image. Received: {list(values.shape)}"
        )
    if values.dtype.kind in "biuf" and (values == values.astype(np.int64)).all():
        values = values.astype(np.int64)
        if values.min() < 0:
            raise DataError(
                "labels must be 0 for normal images and above 0 for anomalies. "
                f"Received: {values.min()}"
            )
        normal: int | str = 0
    elif values.dtype.kind in "UO" and all(isinstance(value, str) for value in values):
        normal = NORMAL
    else:
        raise DataError(
            f"labels must be whole numbers, 0 for normal images, or names, {NORMAL!r} for normal "
            f"images. Received: {values.dtype}, such as {values[0]!r}"
        )
    anomalous = sorted(set(values.tolist()) - {normal})
    if len(anomalous) == 1 and normal == 0:
        names = [NORMAL, "anomaly"]
    else:
        names = [NORMAL, *(f"anomaly {one}" if normal == 0 else str(one) for one in anomalous)]
    numbers = {value: number for number, value in enumerate([normal, *anomalous])}
    return np.array([numbers[value] for value in values.tolist()], np.int64), tuple(names)


def _each(images: Any) -> list[np.ndarray]:
    """The images one by one, uint8 [H, W, C] each."""
    shape = getattr(images, "shape", None)
    if shape is not None and (len(shape) not in (3, 4) or (len(shape) == 3 and shape[-1] <= 4)):
        hint = "; one image needs another axis, images[None]" if len(shape) == 3 else ""
        raise DataError(f"{EXPECTED}{hint}. Received: {images.dtype} {list(shape)}")
    if isinstance(images, str) or not hasattr(images, "__len__"):
        raise DataError(f"{EXPECTED}. Received: {type(images).__name__}")
    if not len(images):
        raise DataError("images must be at least one. Received: none")
    each = []
    for index in range(len(images)):
        one = np.asarray(images[index])
        if one.ndim == 2:
            one = one[..., None]
        if one.dtype != np.uint8 or one.ndim != 3 or one.shape[-1] not in (1, 3) or 0 in one.shape:
            raise DataError(f"{EXPECTED}. Received: {one.dtype} {list(one.shape)} at index {index}")
        each.append(one)
    return each


def _scaled_masks(
    masks: np.ndarray | Sequence[np.ndarray | None],
    images: Sequence[np.ndarray],
    size: int,
    options: FolderOptions,
) -> list[np.ndarray | None]:
    """Masks at the size of the network's images, bool [S, S] each."""
    if len(masks) != len(images):
        raise DataError(f"masks must be {len(images)}, one for each image. Received: {len(masks)}")
    scaled: list[np.ndarray | None] = []
    for index, (mask, image) in enumerate(zip(masks, images, strict=True)):
        if mask is None:
            scaled.append(None)
            continue
        defective = np.asarray(mask) != 0
        if defective.shape != image.shape[:2]:
            raise DataError(
                f"masks must have the height and width of their images, {list(image.shape[:2])} "
                f"at index {index}. Received: {list(defective.shape)}"
            )
        known = defective.any()
        scaled.append(scaled_mask(defective, size, options.resize) if known else None)
    return scaled


def _fingerprint(
    data: LabelledImages,
    digests: np.ndarray,
    parts: np.ndarray,
    masks: Sequence[np.ndarray | None],
) -> str:
    """sha256 of images, kinds, masks and parts."""
    sha256 = hashlib.sha256(repr((data.images.shape[1:], data.kind_names)).encode())
    for digest, kind, part, mask in zip(digests, data.kinds, parts, masks, strict=True):
        sha256.update(f"{digest} {kind} {part}\n".encode())
        sha256.update(b"" if mask is None else mask.tobytes())
    return sha256.hexdigest()
