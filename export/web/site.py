"""Writes the site: the page, the model with its metadata, and onnxruntime-web."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import ganad_tf
from ganad_tf.atomic_files import replace_dir
from ganad_tf.command_names import command_name
from ganad_tf.errors import ArtefactError, UsageError

from .. import runtime
from ..runtime import Scorer, ScoringError
from . import runtime_files

STATIC = Path(__file__).parent / "static"
TEMPLATE = "index.html.jinja"
# What worker.js asks for, and what runtime.py asks of the file that the page offers. The browser
# computes every output that the model has; the last two cost next to nothing.
SHOWN = ("score", "probability", "anomaly_map", "is_anomaly", "mask")


def write_site(source: Path, output: Path, runtime_source: Path | None = None) -> dict[str, Any]:
    """Writes the site to a new folder, whole or not at all.

    Args:
        source: a run or export folder with model.onnx, or an ONNX file that was exported.
        output: must not exist, or be an empty folder other than the current one.
        runtime_source: as for `runtime_files.find_runtime`.

    Returns:
        The contents of model.json.

    Raises:
        UsageError: if `output` is in use.
        ArtefactError: if the model or onnxruntime-web cannot be used.
    """
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        kind = "a folder that is not empty" if output.is_dir() else "a file"
        raise UsageError(f"--output must be a new folder. Received: {output}, {kind}")
    if output.exists() and output.samefile(Path.cwd()):
        # The new folder takes its place, and the shell would stay in the old one.
        raise UsageError(f"--output must be a new folder. Received: {output}, the current folder")
    model_path = find_model(source)
    shown = runtime.without_other_outputs(model_path.read_bytes(), SHOWN)
    description = describe(model_path, shown)
    runtime_folder = runtime_files.find_runtime(runtime_source)
    with replace_dir(output) as folder:
        for path in sorted(STATIC.iterdir()):
            if path.suffix in (".js", ".css"):
                shutil.copyfile(path, folder / path.name)
        runtime_files.copy_runtime(runtime_folder, folder / "runtime")
        (folder / description["files"]["model"]["path"]).write_bytes(shown)
        for file in description["files"].values():
            file["bytes"] = (folder / file["path"]).stat().st_size
        text = json.dumps(description, indent=1) + "\n"
        (folder / "model.json").write_text(text, encoding="utf-8")
        (folder / "index.html").write_text(render(description), encoding="utf-8")
    return description


def find_model(source: Path) -> Path:
    """The ONNX file that a command line names, itself or by its folder."""
    path = source / "model.onnx" if source.is_dir() else source
    if not path.is_file():
        received = "a folder without it" if source.is_dir() else "no such file or folder"
        raise ArtefactError(
            f"{source}: expected an ONNX file, or a folder with model.onnx as written by "
            f"`{command_name('export')} RUN`. Received: {received}"
        )
    return path


def describe(path: Path, shown: bytes) -> dict[str, Any]:
    """All that the page needs to know about a model, as in model.json.

    Args:
        path: the exported model.
        shown: the model as the page gets it.

    Raises:
        ArtefactError: if the file is no exported model.
    """
    try:
        scorer = Scorer(path, threads=1)
    except ScoringError as error:
        raise ArtefactError(str(error)) from None
    digest = hashlib.sha256(shown).hexdigest()  # of the file that the page offers
    version = scorer.metadata.get("ganad_version", "unknown")
    files = {name: f"runtime/{file.name}" for name, file in runtime_files.FILES.items()}
    # The name changes with the content, so that no cache serves an older model.
    files["model"] = f"model-{digest[:12]}.onnx"
    return {
        "normal_name": scorer.normal_name,
        "image_shape": list(scorer.image_shape),
        "resize": scorer.resize,
        "bit_depth": scorer.bit_depth,
        "max_pixels": scorer.max_pixels,
        "threshold": scorer.threshold,
        "normal_scores": scorer.normal_scores.tolist(),
        "ranges": scorer.ranges and describe_ranges(scorer.ranges),
        "map_colour_range": list(scorer.map_colour_range),
        "heat_colours": [list(colour) for colour in runtime.HEAT],
        "pixel_threshold": scorer.pixel_threshold,
        "outline_colour": list(runtime.OUTLINE),
        "outline_share": runtime.OUTLINE_SHARE,
        "suffixes": list(runtime.NAMED_IMAGES),
        "litter": list(runtime.LITTER),
        "sha256": digest,
        "versions": {
            "ganad_tf": ganad_tf.__version__,
            "exported_by": version,
            runtime_files.PACKAGE: runtime_files.VERSION,
        },
        "files": {name: {"path": file} for name, file in files.items()},
    }


def describe_ranges(ranges: Mapping[str, Any]) -> dict[str, Any]:
    """Ranges of usual images, with the constants of `find_shifts`, as shift.js takes them."""
    return {
        "source": "training",  # unless the model was recalibrated
        **ranges,
        "statistics": runtime.STATISTICS,
        "max_deviation": runtime.MAX_DEVIATION,
        "min_training": runtime.MIN_TRAINING,
    }


def render(description: dict[str, Any]) -> str:
    """The page itself."""
    environment = Environment(
        loader=FileSystemLoader(STATIC),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(model=description)
