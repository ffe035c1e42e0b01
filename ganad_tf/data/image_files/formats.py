"""The formats of image files that are read, as in `export/runtime.py`; see docs/file_formats.md."""

from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "PPM", "WEBP", "JPEG2000")
HEIF = "HEIF"


def reads_heif() -> bool:
    """Whether HEIC files can be read: with the package pillow-heif."""
    try:
        import pillow_heif
    except ImportError:
        return False
    if HEIF not in Image.OPEN:
        pillow_heif.register_heif_opener()
    return True


def open_formats() -> tuple[str, ...]:
    """The formats that can be read, as Pillow names them."""
    return (*FORMATS, HEIF) if reads_heif() else FORMATS
