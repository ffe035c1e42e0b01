"""The ten classes, by number or name."""

import re
from collections.abc import Sequence

from ganad_tf.errors import UsageError

# As published, for command lines that are read before the images are.
CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


def parse_class(text: str | int, names: Sequence[str], flag: str = "--normal") -> int:
    """Finds a class by number or by name.

    Case, hyphens and spaces of names do not matter. Each side of a slash names the class, too:
    "t-shirt", "TOP" and "T-shirt/top" are the same class.

    Args:
        text: a number or name, as the user typed it.
        names: the names of the classes, in order.
        flag: where it was typed, for the error.

    Returns:
        The number of the class.

    Raises:
        UsageError: if there is no such class.
    """
    text = str(text).strip()
    if re.fullmatch("[0-9]{1,9}", text) and int(text) < len(names):
        return int(text)
    for number, name in enumerate(names):
        if _plain(text) in map(_plain, (name, *name.split("/"))):
            return number
    raise UsageError(
        f"{flag} must be a class of Fashion-MNIST: a number from 0 to {len(names) - 1}, or one of "
        f"{', '.join(names)}. Received: {text!r}"
    )


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.casefold())
