"""Which names in a folder are those of images; the same in training and in every runtime."""

import os

from ganad_tf.data.image_files.formats import reads_heif

# `export/runtime.py` repeats these tables. tests/data/folder/test_file_names.py compares them.
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".pgm", ".ppm", ".pbm", ".jp2", ".j2k"),
)
# Read where the package pillow-heif is installed.
HEIF_SUFFIXES = (".heic", ".heif")
# Images all the same, but of formats that are not read.
UNREAD_SUFFIXES = (
    *(".avif", ".jxl", ".dng", ".raw", ".cr2", ".cr3"),
    *(".nef", ".arw", ".orf", ".rw2", ".raf", ".psd", ".svg", ".exr", ".dcm"),
)
# What systems and tools leave in folders, besides hidden names. In small letters.
LITTER = (
    *("__macosx", "@eadir", "@recycle", "#recycle", "$recycle.bin", "lost+found"),
    *("system volume information", "thumbs", "thumbs.db", "ehthumbs.db", "desktop.ini"),
)


def is_litter(name: str) -> bool:
    """Whether a file or folder was left by the system or a tool, and is no user's image.

    Hidden names are: `._a.png`, `.Trash-1000` and `.ipynb_checkpoints` among them.

    Args:
        name: without folders.
    """
    return name.startswith(".") or name.lower() in LITTER


def is_image_name(name: str) -> bool:
    """Whether a file of this name is read as an image."""
    suffixes = SUFFIXES + HEIF_SUFFIXES if reads_heif() else SUFFIXES
    return not is_litter(name) and name.lower().endswith(suffixes)


def is_unread_image_name(name: str) -> bool:
    """Whether a file of this name is an image of a format that is not read."""
    suffixes = UNREAD_SUFFIXES if reads_heif() else UNREAD_SUFFIXES + HEIF_SUFFIXES
    return not is_litter(name) and name.lower().endswith(suffixes)


def suffix_of(name: str) -> str:
    """`.heic` of `IMG_1.HEIC`; `no suffix` if there is none."""
    return os.path.splitext(name)[1].lower() or "no suffix"
