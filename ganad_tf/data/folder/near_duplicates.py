"""Images of one part that are nearly equal to an image of another part, such as a copy in JPEG.

Equal pixels are found by their digests and always share a part; see `checks`. A copy that was
saved in another format, scaled or compressed has other pixels, and its score says little about new
images.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ganad_tf.data.account import NearDuplicate
from ganad_tf.data.folder.thumbnails import THUMBNAIL
from ganad_tf.data.folder.usable import Usable
from ganad_tf.wording import few

# Of the 64 bits of the perceptual hash. Unrelated images differ in 32 on average.
MAX_BITS = 8
# Mean absolute difference of the pixels, of 255. JPEG of quality 50 changes the textures of the
# tests by 7.
MAX_DIFFERENCE = 8.0
# Photos of one product after another are nearly equal, too, but only a copy repeats what is
# particular to its original, such as the noise of its pixels.
MIN_CORRELATION = 0.95
NEIGHBOURS = 12
# The first ones may be further copies.
MAX_COPIES = 3
# Pixels of each side of an image that are compared.
MAX_SIDE = 112


def find_near_duplicates(usable: Usable, parts: np.ndarray) -> tuple[NearDuplicate, ...]:
    """Finds copies of images in another part: test images, and validation images among training.

    The twelve nearest images are found by their thumbnails. One of them is the original of a copy
    if all of this holds:

    - Its perceptual hash differs in at most 8 of 64 bits.
    - Its pixels differ by at most 8 grey levels in the mean.
    - What is particular to both images has a correlation of at least 0.95. That is what is left of
      their pixels after a linear regression on the others of the twelve, without the nearest
      three, which may be copies, too.

    Turned or mirrored copies are missed, and copies of products that differ in nothing but noise.

    Args:
        usable: the images.
        parts: str [N], the part of each.
    """
    found: list[NearDuplicate] = []
    for part, others in (("test", ("train", "validation")), ("validation", ("train",))):
        asked = np.flatnonzero(parts == part)
        known = np.flatnonzero(np.isin(parts, others))
        if len(asked) and len(known):
            found += _find(usable, asked, known)
    return tuple(found)


def _find(usable: Usable, asked: np.ndarray, known: np.ndarray) -> list[NearDuplicate]:
    """The images `asked` that are nearly equal to one of `known`."""
    small = usable.decoded.thumbnails[usable.rows]
    hashes = usable.decoded.hashes[usable.rows]
    # Averages of 2 x 2: a fourth of the work, and enough to find neighbours.
    half = THUMBNAIL // 2
    points = small.reshape(-1, half, 2, half, 2).mean(axis=(2, 4), dtype=np.float32)
    points = points.reshape(len(small), -1)
    count = min(NEIGHBOURS, len(known))
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(points[known])
    neighbours = known[search.kneighbors(points[asked], return_distance=False)]
    bits = np.bitwise_count(hashes[asked][:, None] ^ hashes[neighbours])
    found = []
    for row in np.flatnonzero((bits <= MAX_BITS).any(axis=1)):
        pixels = _pixels(usable, int(asked[row]))
        others = np.stack([_pixels(usable, int(other)) for other in neighbours[row]])
        differences = np.abs(others - pixels).mean(axis=1)
        differences[bits[row] > MAX_BITS] = np.inf
        nearest = int(np.argmin(differences))
        if differences[nearest] > MAX_DIFFERENCE:
            continue
        far = [place for place in range(MAX_COPIES, count) if place != nearest]
        if _particular_correlation(pixels, others[nearest], others[far]) >= MIN_CORRELATION:
            path, original = (
                usable.images[index].path for index in (asked[row], neighbours[row][nearest])
            )
            found.append(NearDuplicate(path, original, round(float(differences[nearest]), 2)))
    return found


def _pixels(usable: Usable, index: int) -> np.ndarray:
    """Grey pixels of one image, evenly spaced, float32 [n]."""
    step = -(-usable.image_size // MAX_SIDE)
    pixels = usable.decoded.images[usable.rows[index]][::step, ::step]
    return pixels.mean(axis=-1, dtype=np.float32).ravel()


def _particular_correlation(one: np.ndarray, other: np.ndarray, others: np.ndarray) -> float:
    """The correlation of what two images have beyond a mixture of others.

    Args:
        one, other: float [n], the pixels of the two.
        others: float [m, n], of images that are like them.
    """
    known = np.stack([np.ones_like(one), *others]).astype(np.float64)
    both = np.stack([one, other]).astype(np.float64)
    # By the normal equations: a few rows of many pixels.
    both -= (both @ known.T) @ np.linalg.pinv(known @ known.T, hermitian=True) @ known
    products = both @ both.T
    return float(products[0, 1] / max(np.sqrt(products[0, 0] * products[1, 1]), 1e-9))


def describe_near_duplicates(found: Sequence[NearDuplicate]) -> tuple[str, ...]:
    """A note for the user, if there are any."""
    if not found:
        return ()
    examples = few([f"{one.path} ~ {one.original}" for one in found])
    count = f"{len(found)} images are" if len(found) > 1 else "1 image is"
    return (
        f"{count} nearly equal to one in another part, as if saved again; results on such images "
        f"say little about new ones: {examples}",
    )
