"""How lists and numbers of things are told in a line."""

from collections.abc import Sequence


def few(texts: Sequence[str], most: int = 3) -> str:
    """The first of some texts: `a, b, c and 4 more`."""
    shown = ", ".join(texts[:most])
    return shown if len(texts) <= most else f"{shown} and {len(texts) - most} more"


def counted(count: int, one: str) -> str:
    """A number of things: `1 mask`, `2,000 masks`, `3 anomalies`."""
    plural = f"{one[:-1]}ies" if one.endswith("y") else f"{one}s"
    return f"{count:,} {one if count == 1 else plural}"
