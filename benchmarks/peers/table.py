"""The table of benchmarks.peers for docs/devices.md, from the kept file."""

from collections.abc import Mapping
from typing import Any

from benchmarks.peers.cells import BATCHES, COLOUR, GREY, MODELS, SCORE, TRAIN, Cell
from benchmarks.results_file import kept
from ganad_tf.settings.names import NO_ENCODER

COLUMNS = ("float32 / PyTorch eager", "int8 / PyTorch eager", "float32 / torch.compile")
NOTHING = "–"


def peers_table() -> str:
    """The results of benchmarks.peers that are kept."""
    results = kept("peers")
    return "Not measured yet." if results is None else table_of(results)


def table_of(results: Mapping[str, Any]) -> str:
    """Ratios by image size and encoder, then the training step and the share of matrix products.

    Args:
        results: the file's values.
    """
    cells = results["cells"]
    rows = [
        f"| images | {' | '.join(COLUMNS)} |",
        f"|---|{'---|' * len(COLUMNS)}",
    ]
    for encoder, size, colours in MODELS:
        if encoder == NO_ENCODER and colours == COLOUR:
            continue  # one sentence below says how these differ
        found = [cells.get(Cell(SCORE, encoder, size, colours, b).name, {}) for b in BATCHES]
        texts = [", ".join(_ratio(cell, column) for cell in found) for column in COLUMNS]
        beside = "" if encoder == NO_ENCODER else ", EfficientNet-Lite0"
        rows.append(f"| {size} px, {colours}{beside} | {' | '.join(texts)} |")
    return "\n".join([*rows, "", " ".join([_colours(cells), _training(cells), _shares(cells)])])


def _ratio(cell: Mapping[str, Any], name: str) -> str:
    ratio = cell.get("ratios", {}).get(name)
    return NOTHING if ratio is None else f"{ratio['median']:.2f}"


def _colours(cells: Mapping[str, Any]) -> str:
    """How the ratios of colour images compare with those of grey ones."""
    factors = []
    for name, cell in cells.items():
        if name.startswith(f"{SCORE}-{NO_ENCODER}-") and f"-{COLOUR}-" in name:
            grey = cells.get(name.replace(f"-{COLOUR}-", f"-{GREY}-"), {}).get("ratios", {})
            factors += [
                ratio["median"] / grey[column]["median"]
                for column, ratio in cell["ratios"].items()
                if column in grey
            ]
    if not factors:
        return "Colour images without the encoder: not measured yet."
    return (
        f"Ratios of colour images without the encoder are {min(factors):.2f} to "
        f"{max(factors):.2f} times those of grey ones."
    )


def _training(cells: Mapping[str, Any]) -> str:
    found = {size: cells.get(Cell(TRAIN, NO_ENCODER, size, GREY).name, {}) for size in (32, 128)}
    texts = [f"{_ratio(cell, 'ours / PyTorch eager')} at {size} px" for size, cell in found.items()]
    return f"Training step / PyTorch eager: {', '.join(texts)}."


def _shares(cells: Mapping[str, Any]) -> str:
    texts = []
    for size in (32, 128):
        share = cells.get(Cell(SCORE, NO_ENCODER, size, GREY, 128).name, {}).get("share_of_gemm")
        texts.append(f"{NOTHING if share is None else format(share['median'], '.0%')} at {size} px")
    return f"Share of the matrix-product rate, float32: {', '.join(texts)}."
