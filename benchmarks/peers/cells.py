"""What is measured, one cell after the other."""

import dataclasses
import fnmatch
from collections.abc import Sequence

from ganad_tf.errors import UsageError
from ganad_tf.settings.names import EFFICIENTNET_LITE0, NO_ENCODER

SCORE, TRAIN = "score", "train"
GREY, COLOUR = "grey", "colour"
CHANNELS = {GREY: 1, COLOUR: 3}
BATCHES = (1, 32, 128)
COMPILED_BATCHES = (1, 128)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One comparison.

    Args:
        kind: `score` or `train`.
        encoder: `none` or the pretrained network.
        size: of the square images, in pixels. A generator of 128 pixels scores images of 256, as in
            every run.
        colours: `grey` or `colour`.
        batch: images in a call; 0 for a training step, whose settings say it.
    """

    kind: str
    encoder: str
    size: int
    colours: str
    batch: int = 0

    @property
    def name(self) -> str:
        """As in the kept file and in `--cells`."""
        parts = (self.kind, self.encoder, self.size, self.colours, self.batch)
        return "-".join(str(part) for part in parts if part)

    @property
    def model(self) -> tuple[str, str, int, str]:
        """Cells with the same are about one detector."""
        return self.kind, self.encoder, self.size, self.colours

    @property
    def compiles(self) -> bool:
        """Whether `torch.compile` is measured, of which each costs half a minute.

        Without the encoder, colours change one layer, and images of 256 pixels are scored by the
        network for 128.
        """
        colours = GREY if self.encoder == NO_ENCODER else COLOUR
        return self.size <= 128 and self.colours == colours and self.batch in COMPILED_BATCHES


# The encoder sees three channels in any case, so its grey images would be measured twice.
MODELS = [
    *((NO_ENCODER, size, colours) for size in (32, 128, 256) for colours in CHANNELS),
    *((EFFICIENTNET_LITE0, size, COLOUR) for size in (128, 256)),
]
# Training comes last, for it changes how the process allocates memory.
CELLS = [
    *(Cell(SCORE, *model, batch) for model in MODELS for batch in BATCHES),
    *(Cell(TRAIN, NO_ENCODER, size, GREY) for size in (32, 128)),
]


def chosen_cells(patterns: Sequence[str] | None) -> list[Cell]:
    """The cells whose names match any pattern such as `score-none-*`; all by default.

    Raises:
        UsageError: if a pattern matches none.
    """
    if patterns is None:
        return CELLS
    names = [cell.name for cell in CELLS]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise UsageError(
                f"--cells must match some of {', '.join(names)}. Received: {pattern!r}"
            )
    return [c for c in CELLS if any(fnmatch.fnmatchcase(c.name, p) for p in patterns)]
