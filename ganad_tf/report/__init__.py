"""The report of a run: plots, pictures and one HTML page."""
