"""The layout of BTAD: `train/ok`, `test/ok`, `test/ko`, `ground_truth/ko` with the images' names.

Mishra et al., *VT-ADL: A Vision Transformer Network for Image Anomaly Detection and Localization*,
ISIE 2021.
"""

from pathlib import Path

from ganad_tf.data.folder.layouts import mvtec
from ganad_tf.data.folder.listing import Listing


def recognises(root: Path) -> bool:
    """Whether the folder has `train/ok`."""
    good = mvtec.normal_of_train(root)
    return good is not None and good.endswith("/" + mvtec.OK)


def fill(listing: Listing) -> None:
    """Adds the images and masks."""
    mvtec.fill(listing)
