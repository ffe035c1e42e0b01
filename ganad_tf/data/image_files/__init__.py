"""Single image files: formats, decoding, reduced JPEG files and masks."""
