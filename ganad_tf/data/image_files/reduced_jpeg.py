"""Large JPEG files are decoded smaller than they are, which saves most of the time.

`export/runtime.py` repeats these rules.
"""

from PIL import Image

# JPEG files can be decoded at an eighth, a quarter or half of their size. With just twice the
# model's sides left, pixels of ten pictures of scikit-image changed by 0.1 to 1.8 grey levels in
# the mean, 99 % by at most 7.
JPEG_FACTORS, JPEG_ROOM, JPEG_FORMATS = (8, 4, 2), 2, ("JPEG", "MPO")


def jpeg_factor(size: tuple[int, int], frame: tuple[int, int]) -> int:
    """How many times smaller a JPEG file is decoded than it is: 8, 4, 2 or 1.

    The largest factor that divides both sides and leaves each at least twice as long as the longer
    side of the frame.

    Args:
        size, frame: (width, height) of the image and of what it is brought to, in any order.
    """
    least = JPEG_ROOM * max(frame)
    for factor in JPEG_FACTORS:
        if all(side % factor == 0 and side // factor >= least for side in size):
            return factor
    return 1


def reduce_jpeg(image: Image.Image, frame: tuple[int, int]) -> None:
    """Has an image decoded smaller, if it is a JPEG file that is not loaded yet.

    Args:
        image: an opened image.
        frame: (width, height) of what it is brought to, in any order.
    """
    factor = jpeg_factor(image.size, frame)
    # Readers of other formats would take a thumbnail, which is another picture.
    if factor > 1 and image.format in JPEG_FORMATS:
        image.draft(None, (image.width // factor, image.height // factor))


def file_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of the file of an image, of which `prepare` may have decoded less."""
    factor = 1
    if image.format in JPEG_FORMATS:  # Pillow notes the factor here, and nothing if it is 1
        factor = (*getattr(image, "decoderconfig", ()), 1)[0]
    return image.width * factor, image.height * factor
