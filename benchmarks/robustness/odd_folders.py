"""Data folders as they might be found, and worse ones."""

import contextlib
import io
import os
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.robustness.damaged_files import damaged_file

_LITTER = (
    *(".DS_Store", "._0.png", "Thumbs.db", "desktop.ini", "notes.txt", "photos.zip", "a.psd"),
    *("movie.mp4", "logo.svg", ".ipynb_checkpoints/0-checkpoint.png", "__MACOSX/._0.png"),
    *("@eaDir/0.png", ".Trash-1000/files/0.png", "IMG_1.HEIC", "raw.CR2", "empty/", "no suffix"),
    *(".~lock.labels.csv#", "model.onnx", "deep/er/and/deeper/0.png", "train.csv", "split.csv"),
)
_NAMES = (
    *("ä ö ü", "名前", "a\nb", "a\tb", " ", "-rf", "*", "[1]", "%s", "$HOME", "'\""),
    *(
        "\\",
        "x" * 250,
        "\udcff\udcfe",
        "CON",
        "a,b",
        "\u202eb",
        "normal.png",
        "a" * 90 + "/" + "b" * 90,
        "e\u0301",
    ),
)
_ROLES = (
    *("normal", "Normal", "good", "ok", "anomaly", "Abnormal", "defect", "ko", "train"),
    *(
        "NG",
        "val",
        "Training",
        "test",
        "validation",
        "ground_truth",
        "Ground_Truth",
        "masks",
        "gt",
        "Data",
    ),
    *("Data/Images/Normal", "Data/Images/Anomaly", "Data/Masks/Anomaly", "cats", "split_csv"),
)
_DEVICES = ("/dev/zero", "/dev/random", "/dev/null", "/proc/self/mem")
_TARGETS = (*_DEVICES, "/proc/self", "/", ".", "..", "no")


def make_folder(root: Path, rng: np.random.Generator) -> Path:
    """Builds a folder in some layout, then damages it a few times.

    Returns:
        What to give as data: the folder, or a CSV file in it.
    """
    root.mkdir()
    layout = str(rng.choice(["own", "MVTec", "LOCO", "BTAD", "VisA", "Kolektor", "CSV", "none"]))
    _fill(root, layout, rng)
    drawn = rng.integers(len(_DAMAGES), size=int(rng.choice([0, 1, 2, 3, 8])))
    damages = [_DAMAGES[int(number)] for number in drawn]
    # Links come last: nothing may be written through one, out of the folder.
    for damage in sorted(damages, key=lambda damage: damage in (_link, _replaced)):
        # Such as a file where a folder should be.
        with contextlib.suppress(OSError, ValueError):
            damage(root, rng)
    table = root / "labels.csv"
    return table if layout == "CSV" and table.is_file() and rng.random() < 0.9 else root


def remove(root: Path) -> None:
    """Removes the folder, including what cannot be read, if it is there."""
    if not root.exists():
        return
    root.chmod(stat.S_IRWXU)
    for folder, names, _ in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chmod(path, stat.S_IRWXU)
    shutil.rmtree(root)


def _fill(root: Path, layout: str, rng: np.random.Generator) -> None:
    count = int(rng.integers(5, 9))
    folders = {
        "own": ("normal", "anomaly", "anomaly/hole"),
        "MVTec": ("train/good", "test/good", "test/hole", "train/hole"),
        "LOCO": ("train/good", "validation/good", "test/good", "test/hole"),
        "BTAD": ("train/ok", "test/ok", "test/ko"),
        "VisA": ("Data/Images/Normal", "Data/Images/Anomaly"),
        "Kolektor": ("train", "test"),
        "CSV": ("photos",),
        "none": ("cats", "dogs/small"),
    }[layout]
    for folder in folders:
        for number in range(count):
            _save(root / folder / f"{number}.png", _noise(rng))
    mask = np.zeros((6, 6), np.uint8)
    mask[2:4] = 255
    masks = {
        "own": "ground_truth/hole/{}_mask.png",
        "MVTec": "ground_truth/hole/{}_mask.png",
        "LOCO": "ground_truth/hole/{}/000.png",
        "BTAD": "ground_truth/ko/{}.png",
        "VisA": "Data/Masks/Anomaly/{}.png",
        "Kolektor": "train/{}_GT.png",
    }.get(layout)
    for number in range(count if masks and rng.random() < 0.7 else 0):
        assert masks is not None
        _save(root / masks.format(number), mask)
    if layout == "Kolektor":
        for number in range(count):
            _save(root / "test" / f"{number}_GT.png", mask * (number % 2))
    if layout == "CSV":
        lines = [f"photos/{n}.png,{'normal' if n % 4 else 'hole'},," for n in range(count)]
        (root / "labels.csv").write_text("\n".join(["path,label,split,mask", *lines]) + "\n")


def _noise(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (6, 6), np.uint8)


def _save(path: Path, pixels: np.ndarray) -> None:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    _write(path, file.getvalue())


def _write(path: Path, data: bytes) -> None:
    """Writes a regular file; not into a pipe, which would wait for ever."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(path) or _is_plain(path):
        path.write_bytes(data)


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _places(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        yield Path(folder)
        yield from (Path(folder, name) for name in names)


def _place(root: Path, rng: np.random.Generator, folder: bool | None = None) -> Path:
    found = sorted(
        path
        for path in _places(root)
        if folder is None or (path.is_dir() if folder else _is_plain(path))
    )
    return found[int(rng.integers(len(found)))] if found else root


def _litter(root: Path, rng: np.random.Generator) -> None:
    path = _place(root, rng, folder=True) / str(rng.choice(_LITTER))
    _write(path, b"" if rng.random() < 0.5 else damaged_file(rng)[1])


def _odd_name(root: Path, rng: np.random.Generator) -> None:
    path = _place(root, rng)
    if path != root:
        target = path.parent / (_NAMES[int(rng.integers(len(_NAMES)))] + path.suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)


def _other_role(root: Path, rng: np.random.Generator) -> None:
    folder = root / str(rng.choice(_ROLES))
    for number in range(int(rng.integers(0, 4))):
        ending = str(rng.choice([".png", "_mask.png", "_GT.png", ".jpg"]))
        _save(folder / f"{number}{ending}", _noise(rng))
    folder.mkdir(parents=True, exist_ok=True)


def _damaged(root: Path, rng: np.random.Generator) -> None:
    path = _place(root, rng, folder=False)
    _write(path, damaged_file(rng)[1])


def _link(root: Path, rng: np.random.Generator) -> None:
    path = _place(root, rng, folder=True)
    target = str(rng.choice([*_TARGETS, str(root), str(_place(root, rng))]))
    name = str(rng.choice(["link.png", "link", *_ROLES[:16]]))
    (path / name).symlink_to(target)


def _special(root: Path, rng: np.random.Generator) -> None:
    name = str(rng.choice(["special.png", "special", "labels.csv"]))
    path = _place(root, rng, folder=True) / name
    if rng.random() < 0.5:
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(os.path.relpath(path))


def _replaced(root: Path, rng: np.random.Generator) -> None:
    """A file or folder is something else now."""
    path = _place(root, rng)
    if path == root:
        return
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    kind = int(rng.integers(4))
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.mkdir()
    elif kind == 2:
        path.symlink_to(str(rng.choice(_TARGETS)))
    else:
        _write(path, rng.bytes(30))


def _locked(root: Path, rng: np.random.Generator) -> None:
    path = _place(root, rng)
    if not path.is_symlink():
        path.chmod(int(rng.choice([0o000, 0o400, 0o100, 0o200, 0o500])))


def _gone(root: Path, rng: np.random.Generator) -> None:
    path = _place(root, rng)
    if path.is_dir() and path != root:
        shutil.rmtree(path)
    elif path != root:
        path.unlink()


def _copied(root: Path, rng: np.random.Generator) -> None:
    path, folder = _place(root, rng, folder=False), _place(root, rng, folder=True)
    shutil.copy(path, folder / f"copy of {path.name}")


def _mask_altered(root: Path, rng: np.random.Generator) -> None:
    masks = sorted(p for p in _places(root) if "ground_truth" in str(p) or "_GT" in p.name)
    if masks:
        drawn = [np.zeros((6, 6)), np.full((6, 6), 255), np.ones((4, 9)), _noise(rng)]
        pixels = drawn[int(rng.integers(4))].astype(np.uint8)
        path = masks[int(rng.integers(len(masks)))]
        _save(path if path.suffix else path / "9_mask.png", pixels)


def _deep(root: Path, rng: np.random.Generator) -> None:
    name = "d" * int(rng.choice([1, 100, 250]))
    folder = _place(root, rng, folder=True)
    for _ in range(int(rng.choice([5, 15, 60]))):
        folder = folder / name
    _save(folder / "0.png", _noise(rng))


def _table(root: Path, rng: np.random.Generator) -> None:
    texts = (
        *(b"", b"path,label\n", b"path;label\n1.png;normal\n", b"\xff\xfep\0a\0t\0h\0", b"\0" * 99),
        *(b"path,label\n../x.png,normal\n", b'path,label\n"a,b\n', b"path,label\n/dev/null,a"),
        *(b"path,label,split\nphotos/0.png,normal,tomorrow\n", b"path,label\n,\n", rng.bytes(99)),
        *(b"path,label\n" + b"photos/0.png,normal\n" * 2, b"path,label\nphotos,normal\n"),
        *(b"path,label,mask\nphotos/0.png,hole,/dev/zero\n", b"path,label\n\xff\xfe,\xff\n"),
        b"image,label,split\n" + b"x" * 200_000,
    )
    places = ("labels.csv", "image_anno.csv", "../split_csv/1cls.csv")
    path = root / str(rng.choice(places))
    _write(path, texts[int(rng.integers(len(texts)))])


_DAMAGES = (
    *(_litter, _odd_name, _other_role, _damaged, _link, _special, _replaced, _locked, _gone),
    *(_copied, _mask_altered, _deep, _table),
)
