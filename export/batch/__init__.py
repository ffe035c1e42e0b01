"""Scoring of millions of images on Ray: `python -m export.batch`."""
