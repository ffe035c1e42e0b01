"""Folders of image files: layouts, masks, checks, the cache and drawing parts."""
