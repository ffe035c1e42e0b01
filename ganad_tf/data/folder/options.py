"""How a data folder is to be read and split."""

from dataclasses import dataclass
from pathlib import Path

from ganad_tf.data.account import SplitEntry
from ganad_tf.data.folder.decode_file import Reading
from ganad_tf.errors import UsageError
from ganad_tf.settings.names import BIT_DEPTHS, IMAGE_SIZES, RESIZE_MODES


@dataclass(frozen=True)
class FolderOptions:
    """Options of `load_folder`.

    Args:
        image_size: S, one of `IMAGE_SIZES`; images are brought to S x S. None for a size
            that follows the images; see `natural_size`.
        channels: 1 (grey) or 3 (RGB); by default 1 if all images are grey, else 3.
        resize: how images of other shapes are brought to the square: `stretch` or `pad`; see
            `ganad_tf.data.image_files.decoding.prepare`.
        bit_depth: how many bits of 16-bit files are in use: 8, 10, 12, 14 or 16; by default the
            fewest that hold all values of the folder's files.
        max_pixels: the most pixels that an image may have; by default 64,000,000.
        seed: of the split.
        validation_fraction: share of the images outside the test part, in (0, 1).
        test_fraction: share of all images, in (0, 1); used only by layouts without a test part.
        learn_anomalies: whether the training and the validation part may hold anomalies. If not,
            the anomalies that would be in them are unused; the test part is the same.
        split_file: a file as `write_split` writes it, which names the part of each image. Without
            it, parts are drawn at random. Images that it does not name are left out.
        earlier: the split of an earlier run whose images keep their part, where no `split_file`
            is given; see `ganad_tf.data.folder.enlarged`.
        skip_bad: leave out files that cannot be used, instead of refusing the folder.

    Raises:
        UsageError: if a value is out of its range.
    """

    image_size: int | None = None
    channels: int | None = None
    resize: str = "stretch"
    bit_depth: int | None = None
    max_pixels: int | None = None
    seed: int = 0
    validation_fraction: float = 0.1
    test_fraction: float = 0.3
    learn_anomalies: bool = True
    split_file: Path | None = None
    earlier: tuple[SplitEntry, ...] = ()
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if self.image_size not in (None, *IMAGE_SIZES):
            raise UsageError(
                f"image_size must be a multiple of {IMAGE_SIZES.step} from {IMAGE_SIZES[0]} to "
                f"{IMAGE_SIZES[-1]}. Received: {self.image_size}"
            )
        if self.channels not in (None, 1, 3):
            raise UsageError(f"channels must be 1 or 3. Received: {self.channels}")
        if self.resize not in RESIZE_MODES:
            raise UsageError(
                f"resize must be one of {', '.join(RESIZE_MODES)}. Received: {self.resize!r}"
            )
        if self.bit_depth not in (None, *BIT_DEPTHS):
            raise UsageError(
                f"bit_depth must be one of {', '.join(map(str, BIT_DEPTHS))}. "
                f"Received: {self.bit_depth!r}"
            )
        if self.max_pixels is not None and self.max_pixels < 1:
            raise UsageError(f"max_pixels must be at least 1. Received: {self.max_pixels}")
        for name in ("validation_fraction", "test_fraction"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise UsageError(f"{name} must lie between 0 and 1. Received: {value}")

    @property
    def reading(self) -> Reading:
        """How image files are read; `image_size` must be known."""
        assert self.image_size is not None
        return Reading(self.image_size, self.channels, self.resize, self.bit_depth, self.max_pixels)
