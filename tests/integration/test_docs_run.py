"""Every command block and every Python block of README and docs runs, with shortened training.

A block runs in a folder of its own, line by line, as a reader would type it. There are the things
that the pages take for granted: a checkout, images, and for most blocks the exported run
`runs/photos`. `NOT_RUN` lists the commands that cannot run here. Blocks that only use a model
run by default, with the detector of the export tests; `-m ""` runs all.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from export import onnx_model
from export.web.runtime_files import find_runtime
from ganad_tf.errors import ArtefactError
from tests.export.conftest import make_detector

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
INSTALLS = "installs from a package index; .ci/run does it"
# Command -> why it cannot run here, and what stands in for it.
NOT_RUN = {
    "python3 -m venv .venv": INSTALLS,
    ".venv/bin/pip install -e .": INSTALLS,
    ".venv/bin/pip install -e '.[test]'": INSTALLS,
    "pip install -e '.[scale]'": INSTALLS,
    ".venv/bin/ruff check .": "the checks themselves; .ci/run runs them",
    ".venv/bin/python -m pytest -n 2 --dist loadfile": "these tests themselves",
    """TF_CONFIG='{"cluster": {"worker": ["a:2222", "b:2222"]}, """
    """"task": {"type": "worker", "index": 0}}' """
    "python train.py --normal 7 --output /shared/sneaker": (
        "needs two machines; test_workers.py starts two processes"
    ),
    "RUN=$PWD/runs/fashion_mnist-sneaker docker compose -f export/serving/docker-compose.yml up": (
        "needs Docker and TensorFlow Serving's image"
    ),
    "python -m export.serving.client photos/ --server 127.0.0.1:8500": (
        "needs TensorFlow Serving; tests/export/serving calls a stand-in"
    ),
    "python -m export.serving.client photos/ --server 127.0.0.1:8501 --rest": (
        "needs TensorFlow Serving; tests/export/serving calls a stand-in"
    ),
    "python -m http.server -d site": "serves until it is stopped; tests/export/web opens the site",
}
# Fences of other languages are drawings and excerpts of files.
NO_CODE = ("text", "mermaid")
PHOTOS, SNEAKERS = "runs/photos", "runs/fashion_mnist-sneaker"
SIDE = 32


class Block(NamedTuple):
    """A fenced block of a page."""

    name: str
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Its commands, one by one, without comments."""
        lines = re.sub(r" *\\\n *", " ", self.text).splitlines()
        bare = [re.sub(r"\s+# .*$", "", line).strip() for line in lines]
        return [part for line in bare if line for part in line.split(" && ")]

    @property
    def trains(self) -> bool:
        """Whether it makes a new run, for which there must be none of that name yet."""
        earlier = "--resume|--from|runs/photos/"
        return any("train.py" in c and not re.search(earlier, c) for c in self.commands)


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            line = text[: found.start()].count("\n") + 1
            yield Block(f"{page.relative_to(ROOT)}:{line}", found[1], found[2])


BLOCKS = [block for block in blocks() if block.language not in NO_CODE]
SHELL = [b for b in BLOCKS if b.language == "sh" and not NOT_RUN.keys() >= set(b.commands)]
PYTHON = [block for block in BLOCKS if block.language == "python"]


def is_quick(block: Block) -> bool:
    """Whether it needs no other training than that of `runs/photos`, and no minutes."""
    slow = r"train|export(\.verify)? runs|batch|--run|cross_val_score|ganad web"
    return not re.search(slow, block.text.split("# or")[0])


def parameters(found: list[Block]) -> list:
    marks = {True: (), False: pytest.mark.slow}
    return [pytest.param(b, id=b.name, marks=marks[is_quick(b)]) for b in found]


def test_every_block_is_run_or_listed():
    assert {block.language for block in BLOCKS} == {"sh", "python"}
    written = {command for b in BLOCKS if b.language == "sh" for command in b.commands}
    assert written >= NOT_RUN.keys(), "listed, but no longer on any page"
    run_here = {command for block in SHELL for command in block.commands} - NOT_RUN.keys()
    assert run_here == written - NOT_RUN.keys()
    assert len(run_here) > 20


def draw(folder: Path, count: int, seed: int, defect: bool = False) -> None:
    """Noisy grey images as files, each with a bright bar if it is to have a defect."""
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(seed).integers(90, 150, (count, SIDE, SIDE), dtype=np.uint8)
    if defect:
        pixels[:, 8:12, 4:28] = 255
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number:04}.png")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A checkout with an environment and images, but no run."""
    folder = tmp_path_factory.mktemp("docs") / "checkout"
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name, arguments in {"python": "", "ganad": "-m ganad_tf.commands.ganad "}.items():
        script = folder / ".venv" / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments}"$@"\n')
        script.chmod(0o755)
    for name in ("train.py", "ganad_tf", "export"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "export" / "runtime.py", folder)  # as the pages say: copy it anywhere
    draw(folder / "photos" / "normal", 90, seed=0)
    draw(folder / "photos" / "anomaly" / "bar", 15, seed=1, defect=True)
    for name in ("new", "new_normals"):
        draw(folder / name, 40, seed=2)
    draw(folder / "new_defects", 10, seed=3, defect=True)
    return folder


def copied(source: Path, parent: Path) -> Path:
    """A copy with links to the files; commands replace files, and never change them in place."""
    return shutil.copytree(source, parent / "checkout", symlinks=True, copy_function=os.link)


@pytest.fixture(scope="module")
def fitted(checkout, tmp_path_factory) -> Path:
    """The checkout with the files of a run that score, of a detector made in this process."""
    folder = copied(checkout, tmp_path_factory.mktemp("fitted"))
    detector = make_detector((SIDE, SIDE, 1), validation=240)  # enough to promise 1 %
    detector.save(folder / PHOTOS / "detector")
    onnx_model.save(onnx_model.build(detector, "0" * 64, "blob"), folder / PHOTOS / "model.onnx")
    for name in ("model.onnx", "model.int8.onnx"):  # here only the name matters
        shutil.copy(folder / PHOTOS / "model.onnx", folder / name)
    return folder


@pytest.fixture(scope="module")
def trained(checkout, tmp_path_factory) -> Path:
    """The checkout after the first command of own_images.md."""
    folder = copied(checkout, tmp_path_factory.mktemp("photos"))
    run("python train.py --data photos", folder)
    return folder


@pytest.fixture(scope="module")
def sneakers(checkout, tmp_path_factory) -> Path:
    """The folder of a run on Fashion-MNIST."""
    folder = copied(checkout, tmp_path_factory.mktemp("sneakers"))
    run("python train.py --normal 7", folder)
    return folder / SNEAKERS


@pytest.fixture
def place(request, block, checkout, tmp_path) -> Path:
    """A fresh folder with what a block takes for granted."""
    if block.trains or SNEAKERS in block.text:
        source = "checkout"
    else:  # most blocks only use a model
        source = "trained" if re.search(f"--(run|split|from) {PHOTOS}", block.text) else "fitted"
    folder = copied(request.getfixturevalue(source), tmp_path)
    if source == "trained" and " model.onnx" in block.text:
        shutil.copy(request.getfixturevalue("fitted") / "model.onnx", folder)
    if block.trains and "--max-false-alarms 0.01" in block.text:
        # A promise of 1 % needs 99 normal images in validation.
        draw(folder / "photos" / "normal" / "more", 1500, seed=4)
    if SNEAKERS in block.text:
        shutil.copytree(request.getfixturevalue("sneakers"), folder / SNEAKERS)
    files = sorted((folder / "new").iterdir())
    if "corrections.csv" in block.text:
        lines = ["path,label", "new/0000.png,normal", "new_defects/0001.png,anomaly"]
        (folder / "corrections.csv").write_text("\n".join(lines))
    if "photos.parquet" in block.text:
        import pyarrow
        import pyarrow.parquet

        contents = [file.read_bytes() for file in files]
        pyarrow.parquet.write_table(pyarrow.table({"jpeg": contents}), folder / "photos.parquet")
    if "records/" in block.text:
        write_records(files, folder / "records")
    return folder


def write_records(files: list[Path], folder: Path) -> None:
    import tensorflow as tf

    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / "a.tfrecord")) as writer:
        for file in files:
            value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[file.read_bytes()]))
            features = tf.train.Features(feature={"image": value})
            writer.write(tf.train.Example(features=features).SerializeToString())


def run(command: str, folder: Path) -> str:
    """Runs a command in a folder as in its activated environment; returns what it printed."""
    environment = {
        **os.environ,
        "PATH": f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "GANAD_SHORT": "1",
    }
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=3600,  # a busy machine is not a failure
    )
    # docs/monitoring.md: 3 if images have drifted, and these are not those of the model
    expected = (0, 3) if "--monitor" in command else (0,)
    assert done.returncode in expected, f"{command}\n{done.stdout[-1000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.parametrize("block", parameters(SHELL))
def test_shell_blocks_run(block, place):
    if "export.batch" in block.text:
        pytest.importorskip("ray", reason="the extra `scale` is not installed")
    if "ganad web" in block.text:
        try:
            find_runtime(None)
        except ArtefactError as error:
            pytest.skip(f"needs onnxruntime-web: {error}")
    for command in block.commands:
        if command not in NOT_RUN:
            run(command, place)


@pytest.mark.parametrize("block", parameters(PYTHON))
def test_python_blocks_run(block, place, monkeypatch):
    rng = np.random.default_rng(5)
    count = 1200 if "max_false_alarms" in block.text else 60  # see `place`
    images = rng.integers(90, 150, (count, SIDE, SIDE, 1), dtype=np.uint8)
    labels = np.arange(count) % 12 // 11
    masks = np.zeros(images.shape[:3], bool)
    masks[labels == 1, 8:12, 4:28] = True
    images[masks] = 255
    monkeypatch.setenv("GANAD_SHORT", "1")
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "runtime", raising=False)
    if "new.onnx" in block.text:
        run(next(c for b in SHELL for c in b.commands if "--output new.onnx" in c), place)
    names = {"images": images, "labels": labels, "masks": masks}
    exec(compile(block.text, block.name, "exec"), names)
    if "detector" in names:
        assert names["detector"].predict(images).shape == (count,)
