"""Writes SYNTHETIC defect images in the layout of MVTec AD, from scikit-image's CC0 textures.

    python -m benchmarks.texture_data OUT --texture brick --tile 128 --labelled 20 --seed 0

Training, validation and test tiles are cut from regions of the picture that share no pixel: tiles
of one region overlap, and a threshold from tiles that overlap with training tiles would be too low.
OUT/split.csv names the part of each tile: `train.py --data OUT --split OUT/split.csv`.
Scratches, stains, holes and blur, each in three sizes, are drawn on test tiles, with masks; a few
labelled ones, on tiles of the other regions, go into train/<defect>, with masks if asked for.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from ganad_tf.atomic_files import replace_dir
from ganad_tf.data.account import SplitEntry
from ganad_tf.data.folder.split_file import write_split
from ganad_tf.errors import UsageError, run_cli

TEXTURES = ("brick", "grass", "gravel")
TILES = (64, 128)
# Rows and columns, of 512 each. The smallest region must hold enough different tiles of 128.
REGIONS = {
    "train": (slice(0, 304), slice(0, 512)),
    "validation": (slice(304, 512), slice(0, 176)),
    "test": (slice(304, 512), slice(176, 512)),
}
# Of the labelled defects.
VALIDATION_SHARE = 0.1
# Factors on a defect's extent.
SIZES = {"small": 0.65, "medium": 1.0, "large": 1.7}
# In grey levels. Smaller changes are invisible on these textures, so they are not marked.
NOTICEABLE = 10

Defect = tuple[np.ndarray, np.ndarray]


def scratch(tile: np.ndarray, factor: float, rng: np.random.Generator) -> Defect:
    """A thin bent line with fading ends, brighter or darker than the texture."""
    side = len(tile)
    length, angle = factor * side * rng.uniform(0.32, 0.42), rng.uniform(0, 2 * np.pi)
    along = np.array([np.sin(angle), np.cos(angle)])
    start = _place(side, rng) - along * length / 2
    bend = along[::-1] * [1, -1] * length * rng.uniform(-0.2, 0.2)
    t = np.linspace(0, 1, 4 * side)[:, None]
    line = start + t * along * length + 4 * t * (1 - t) * bend
    y, x = np.mgrid[:side, :side]
    near = np.full(tile.shape, np.inf)
    for number, (at_y, at_x) in enumerate(line):
        fade = min(1, 8 * min(t[number, 0], 1 - t[number, 0]) + 0.3)
        near = np.minimum(near, np.hypot(y - at_y, x - at_x) / fade)
    width = side / 128 * rng.uniform(0.8, 1.5) * max(1, factor**0.5)
    shape = np.clip(width + 0.5 - near, 0, 1)
    return _blend(tile, _contrasting(tile, shape, rng, 75, 110), shape), shape


def stain(tile: np.ndarray, factor: float, rng: np.random.Generator) -> Defect:
    """A soft, ragged spot through which the texture is seen."""
    shape = _blob(len(tile), factor * len(tile) * rng.uniform(0.09, 0.13), 0.5, rng)
    tone = rng.uniform(0.3, 0.5) if rng.random() < 0.6 else rng.uniform(1.4, 1.6)
    return _blend(tile, tile * tone, shape), shape


def hole(tile: np.ndarray, factor: float, rng: np.random.Generator) -> Defect:
    """A dark opening with a sharp edge, lit on one side."""
    shape = _blob(len(tile), factor * len(tile) * rng.uniform(0.05, 0.08), 0.25, rng, sharp=4)
    lit = np.clip(np.roll(shape, (1, 1), (0, 1)) - shape, 0, 1)
    inside = rng.uniform(12, 35) + rng.normal(0, 4, tile.shape)
    holed = _blend(_blend(tile, tile + 50, lit), inside, shape)
    return holed, np.maximum(shape, lit)


def blur(tile: np.ndarray, factor: float, rng: np.random.Generator) -> Defect:
    """A patch that has lost its grain, as if rubbed or out of focus."""
    shape = _blob(len(tile), factor * len(tile) * rng.uniform(0.13, 0.17), 0.3, rng)
    sigma = len(tile) / 128 * rng.uniform(3, 4.5)
    return _blend(tile, ndimage.gaussian_filter(tile, sigma, mode="reflect"), shape), shape


DEFECTS: dict[str, Callable[..., Defect]] = {
    "scratch": scratch,
    "stain": stain,
    "hole": hole,
    "blur": blur,
}


def draw_defect(
    tile: np.ndarray, kind: str, size: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws a defect on a tile.

    Args:
        tile: uint8 [T, T].
        kind, size: of `DEFECTS` and `SIZES`.
        rng: for the defect's position and shape.

    Returns:
        The image, uint8 [T, T], and its mask, bool [T, T]: pixels that changed noticeably,
        and those that they enclose.
    """
    enough = max(4, len(tile) ** 2 // 2000)
    while True:
        changed, shape = DEFECTS[kind](tile.astype(np.float64), SIZES[size], rng)
        image = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
        noticed = np.abs(image.astype(int) - tile) >= NOTICEABLE
        # Blur happens to leave some pixels unchanged; they belong to the defect, too.
        mask = ndimage.binary_closing(np.pad(noticed, 3), iterations=2)[3:-3, 3:-3]
        mask = ndimage.binary_fill_holes(mask) & (shape > 0)
        # A dark stain on a dark joint, or blur on a smooth area, is no defect: try again.
        if noticed.sum() >= enough and noticed.sum() >= 0.4 * (shape > 0.5).sum():
            return image, mask


def cut_tiles(region: np.ndarray, tile: int, count: int, rng: np.random.Generator) -> list:
    """Tiles at `count` different places of a region."""
    rows, columns = (length - tile + 1 for length in region.shape)
    places = rng.choice(rows * columns, count, replace=False)
    corners = (divmod(int(place), columns) for place in places)
    return [region[y : y + tile, x : x + tile] for y, x in corners]


@dataclass(frozen=True)
class Counts:
    """How many tiles a data set has.

    Args:
        train, validation, test: tiles without a defect in each part.
        defective: test tiles for each kind of defect.
    """

    train: int = 400
    validation: int = 40
    test: int = 100
    defective: int = 25


def write_texture(
    output: Path,
    texture: str,
    tile: int,
    labelled: int,
    seed: int = 0,
    mask_labelled: bool = False,
    counts: Counts = Counts(),
) -> None:
    """Writes one data set.

    Args:
        output: a new folder.
        texture: of `TEXTURES`.
        tile: side of a tile in pixels, 64 or 128.
        labelled: how many labelled defects there are, of all kinds in turn. A tenth of them is for
            validation, the rest for training.
        seed: of all places and shapes.
        mask_labelled: whether labelled defects have masks.
        counts: of the other tiles.

    Raises:
        UsageError: if the folder exists.
    """
    from skimage import data

    if output.exists():
        raise UsageError(f"expected a new folder. Received: {output}, which exists")
    picture = getattr(data, texture)()
    regions = {part: picture[place] for part, place in REGIONS.items()}
    entries = []
    with replace_dir(output) as folder:
        text = f"Synthetic defects on scikit-image's CC0 texture {texture}; seed {seed}.\n"
        (folder / "SYNTHETIC.txt").write_text(text)

        def save(image: np.ndarray, part: str, kind: str, name: str) -> None:
            path = f"{'test' if part == 'test' else 'train'}/{kind}/{name}.png"
            _save(image, folder / path)
            entries.append(SplitEntry(path, kind, kind != "good", part))

        for number, part in enumerate(REGIONS):
            rng = np.random.default_rng([seed, number])
            tiles = cut_tiles(regions[part], tile, getattr(counts, part), rng)
            for i, image in enumerate(tiles):
                save(image, part, "good", f"{part}-{i:03}")
        for part, kind, count, rng in _defects(labelled, counts.defective, seed):
            for i, image in enumerate(cut_tiles(regions[part], tile, count, rng)):
                size = list(SIZES)[i % len(SIZES)]
                image, mask = draw_defect(image, kind, size, rng)
                name = f"{part}-{i:03}-{size}"
                save(image, part, kind, name)
                if part == "test" or mask_labelled:
                    path = folder / "ground_truth" / kind / f"{name}_mask.png"
                    _save(mask.astype(np.uint8) * 255, path)
        write_split(entries, folder / "split.csv")


def _defects(
    labelled: int, defective: int, seed: int
) -> Iterator[tuple[str, str, int, np.random.Generator]]:
    """For each kind and part: the part, the kind, how many tiles, and their random numbers."""
    held_out = round(VALIDATION_SHARE * labelled)
    for number, kind in enumerate(DEFECTS):
        # The first ones of all kinds in turn are for validation, the others for training.
        early, both = (len(range(number, n, len(DEFECTS))) for n in (held_out, labelled))
        counts = {"validation": early, "train": both - early, "test": defective}
        for stream, (part, count) in enumerate(counts.items()):
            yield part, kind, count, np.random.default_rng([seed, 3 + number, stream])


def _place(side: int, rng: np.random.Generator) -> np.ndarray:
    """The middle of a defect, not at the very edge."""
    return rng.uniform(0.15 * side, 0.85 * side, 2)


def _blob(side: int, radius: float, ragged: float, rng, sharp: float = 1.0) -> np.ndarray:
    """A round spot with a ragged outline: weights in [0, 1]; `sharp` is the edge's steepness."""
    y, x = np.mgrid[:side, :side]
    middle = _place(side, rng)
    stretch = rng.uniform(0.75, 1.33)
    distance = np.hypot((y - middle[0]) * stretch, (x - middle[1]) / stretch) / radius
    noise = ndimage.gaussian_filter(rng.normal(size=(side, side)), radius / 2.5, mode="wrap")
    distance += ragged * noise / noise.std() / 2
    return np.clip((1 - distance) * 4 * sharp + 0.5, 0, 1)


def _contrasting(tile, shape, rng, least: float, most: float) -> np.ndarray:
    """A tone that differs from what lies under a shape, on the side where there is room."""
    under = tile[shape > 0].mean() if (shape > 0).any() else 128
    difference = rng.uniform(least, most)
    brighter = rng.random() < np.clip((200 - under) / 140, 0, 1)
    tone = under + difference if brighter else under - difference
    return np.full(tile.shape, tone) + rng.normal(0, 6, tile.shape)


def _blend(tile: np.ndarray, other: np.ndarray, shape: np.ndarray) -> np.ndarray:
    return tile + shape * (other - tile)


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, metavar="OUT", help="a new folder")
    parser.add_argument("--texture", choices=TEXTURES, default=TEXTURES[0])
    parser.add_argument("--tile", type=int, choices=TILES, default=128)
    parser.add_argument("--labelled", type=int, default=20, help="defects to learn from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mask-labelled", action="store_true", help="also masks of these")
    flags = parser.parse_args()
    write_texture(
        flags.output, flags.texture, flags.tile, flags.labelled, flags.seed, flags.mask_labelled
    )
    print(f"written {flags.output}")


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
