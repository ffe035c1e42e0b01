"""How lists of files are told in a line."""

from collections.abc import Sequence


def few(texts: Sequence[str], most: int = 3) -> str:
    """The first of some texts: `a, b, c and 4 more`."""
    shown = ", ".join(texts[:most])
    return shown if len(texts) <= most else f"{shown} and {len(texts) - most} more"
