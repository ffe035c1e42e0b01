"""Folders of image files: layouts, masks, decoding, checks and splits."""
