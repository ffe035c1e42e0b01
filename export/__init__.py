"""From a finished run to models that score anywhere, and the check that they all agree."""
