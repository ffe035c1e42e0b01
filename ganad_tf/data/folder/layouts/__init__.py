"""The known layouts of data folders: one function and one entry here for each."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ganad_tf.data.folder.layouts import btad, kolektor, mvtec, own, table, visa
from ganad_tf.data.folder.layouts.unknown import no_layout
from ganad_tf.data.folder.listing import CSV, OWN, VISA, Listing, move_masks_beside_images
from ganad_tf.errors import DataError


@dataclass(frozen=True)
class Layout:
    """A layout.

    Args:
        example: its folders, for messages; names in capitals stand for any name.
        recognises: whether a folder has this layout.
        fill: adds what is in the folder to an empty listing.
        normals: its normal images of a `{part}`, for messages; `{name}` is their kind.
    """

    example: str
    recognises: Callable[[Path], bool]
    fill: Callable[[Listing], None]
    normals: str = "images in {part}/{name}/"


LAYOUTS = {
    OWN: Layout("normal/ and anomaly/[KIND/]", own.recognises, own.fill, "images in normal/"),
    "MVTec": Layout("train/good/, test/good/ and test/KIND/", mvtec.recognises, mvtec.fill),
    "MVTec LOCO": Layout(
        "train/good/, validation/good/, test/KIND/ and ground_truth/KIND/IMAGE/",
        mvtec.recognises_loco,
        mvtec.fill_loco,
    ),
    "BTAD": Layout("train/ok/, test/ok/ and test/ko/", btad.recognises, btad.fill),
    VISA: Layout(
        "Data/Images/Normal/ and Data/Images/Anomaly/",
        visa.recognises,
        visa.fill,
        "images in Data/Images/Normal/ with split {part} in split_csv/1cls.csv",
    ),
    "KolektorSDD2": Layout(
        "train/ and test/ with NUMBER.png and NUMBER_GT.png",
        kolektor.recognises,
        kolektor.fill,
        "images with a black mask in {part}/",
    ),
    CSV: Layout(
        "a file NAME.csv with columns path,label",
        table.recognises,
        table.fill,
        "rows with label normal and split {part}",
    ),
}


def list_folder(path: Path) -> Listing:
    """Lists the images and masks of a data folder, or of a CSV file.

    Raises:
        DataError: if the folder is in no known layout, or in several.
    """
    if not os.path.isdir(path) and not table.is_table(path):
        received, hint = "no such folder", "; if it was moved, --data says where it is now"
        if os.path.exists(path):
            received, hint = "a file", ""
        raise DataError(
            f"{path}: expected a folder of images or a CSV file{hint}. Received: {received}"
        )
    if os.path.isdir(path):
        try:
            os.listdir(path)
        except OSError as error:
            raise DataError(
                f"{path}: expected a folder that can be read. Received: {error.strerror}"
            ) from None
    found = [name for name, layout in LAYOUTS.items() if layout.recognises(path)]
    if not found:
        raise no_layout(path, {name: layout.example for name, layout in LAYOUTS.items()})
    if len(found) > 1:
        examples = "; ".join(f"{LAYOUTS[name].example} ({name})" for name in found)
        raise DataError(
            f"{path}: expected one layout; move the images of the others elsewhere. "
            f"Received: {examples}"
        )
    root = path.parent if table.is_table(path) else path
    listing = Listing(root, path, found[0], "normal")
    LAYOUTS[found[0]].fill(listing)
    if found[0] not in (CSV, VISA, "KolektorSDD2"):  # these say which files are masks
        move_masks_beside_images(listing)
    listing.images.sort(key=lambda image: image.path)
    listing.bad.sort(key=lambda bad: bad.path)
    return listing
