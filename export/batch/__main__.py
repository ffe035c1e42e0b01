"""Scores millions of images on many cores or machines: `python -m export.batch`."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganad_tf.errors import (
    ArtefactError,
    CommandParser,
    DataError,
    Interrupted,
    UsageError,
    check_positive,
    run_cli,
)
from ganad_tf.folder_lock import locked
from ganad_tf.wording import counted

from ..runtime import (
    InputShift,
    Progress,
    Scorer,
    ScoringError,
    add_max_pixels_flag,
    add_region_flags,
    add_threshold_flags,
    available_cores,
    check_threshold,
)

DESCRIPTION = "Scores millions of images on many cores or machines."
EPILOG = """\
examples:
  %(prog)s model.onnx photos/ --output scores
  %(prog)s model.onnx photos.parquet --output scores --image-column jpeg
  %(prog)s model.int8.onnx records/ --output scores --max-false-alarms 0.01
  %(prog)s /shared/model.onnx /shared/photos --output /shared/scores \\
      --address 10.0.0.5:6379 --workers 64

SOURCE holds files of one kind, at any depth: images, Parquet (a column of encoded images) or
TFRecord (tf.train.Example with a feature of encoded images). DIR receives part-00000.parquet and so
on, with the columns
  source       the file, relative to SOURCE; of Parquet and TFRecord, file#row
  score, probability, is_anomaly
               as from `ganad score`
  regions      with --regions: where and how large each marked region is, a list of box, area,
               percent, peak and file_box
  error        why there is no score; null where there is one
and _summary.json at the end. Its `input_shift` says how the images that were scored last differ
from the normal training images. Read all of it with pandas.read_parquet("DIR").

Stopped or killed, the same command goes on with the shards that are missing. No row is lost or
there twice. The number of workers may change; the model, the source and the settings may not.

A cluster's machines must all have this package installed, with the extra `scale`, and see MODEL,
SOURCE and DIR under the same paths. If the cluster asks for tokens, as Ray's do by default, set
RAY_AUTH_MODE=token here too.

exit codes: 0 all scored; 1 an image has an error, or something could not be used; 2 wrong usage.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the flags."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument("model", type=Path, metavar="MODEL", help="model.onnx or model.int8.onnx")
    parser.add_argument("source", type=Path, metavar="SOURCE", help="a folder, or one file")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes of one core each (default: all cores)"
    )
    add_threshold_flags(parser)
    add_region_flags(parser)
    parser.add_argument(
        "--image-column",
        metavar="NAME",
        help="Parquet column or TFRecord feature of the encoded images "
        "(default: image, or else image/encoded)",
    )
    parser.add_argument(
        "--shard-size",
        type=int,
        default=10_000,
        metavar="N",
        help="images in each output file; what a kill can cost each worker (default: 10000)",
    )
    parser.add_argument(
        "--address", help="of a running Ray cluster (default: Ray starts on this machine alone)"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace another job's files in DIR"
    )
    add_max_pixels_flag(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def parse(arguments: Sequence[str] | None, prog: str) -> argparse.Namespace:
    """Parses the command line."""
    parser = CommandParser(prog)
    configure(parser)
    flags = parser.parse_args(arguments)
    check_positive(flags, "workers", "shard_size", "max_pixels")
    if flags.pixel_threshold is not None and not flags.regions:
        raise UsageError("--pixel-threshold must go with --regions. Received: it alone")
    for name, path in (
        ("SOURCE", flags.source),
        ("MODEL", flags.model),
        ("--output", flags.output),
    ):
        if ":/" in str(path):  # what a path makes of s3://
            raise UsageError(
                f"{name} must be a path on a disk that all workers see. Received: {path}"
            )
    output, source = flags.output.resolve(), flags.source.resolve()
    if output == source or source in output.parents:
        raise UsageError(f"--output must lie outside SOURCE. Received: {flags.output}")
    return flags


def load_model(flags: argparse.Namespace) -> tuple[Scorer, float | None]:
    """The model, checked before any worker starts, and the threshold if it is not the model's."""
    try:
        threshold: float | None = check_threshold(flags.threshold)
        scorer = Scorer(flags.model, threads=1)
        if flags.regions:
            scorer.check_regions(flags.pixel_threshold)
        if flags.max_false_alarms is not None:
            threshold = scorer.threshold_for(flags.max_false_alarms)
    except ScoringError as error:
        raise (UsageError if error.exit_code == 2 else ArtefactError)(str(error)) from None
    return scorer, None if threshold is None else float(threshold)


def run(flags: argparse.Namespace) -> dict[str, Any]:
    """Scores what is missing in the output folder; returns the summary.

    Raises:
        DataError: if shards could not be scored, with the reason for the first.
    """
    from . import job as job_folder
    from . import worker
    from .sources import Source

    worker.import_ray(alone=flags.address is None)
    scorer, threshold = load_model(flags)
    shift = InputShift(scorer.ranges)
    source = Source(flags.source, flags.image_column)
    settings = {
        "model": job_folder.hash_file(flags.model),
        "threshold": threshold,
        "shard_size": flags.shard_size,
        "max_pixels": flags.max_pixels,
        "regions": flags.regions,
        "pixel_threshold": flags.pixel_threshold,
    }
    with locked(flags.output):
        described = job_folder.earlier_shift(flags.output)
        manifest = job_folder.open_job(flags.output, source, settings, flags.overwrite)
        tasks = job_folder.open_tasks(flags.output)
        if tasks:
            job = {
                "model": str(flags.model.resolve()),
                "output": str(flags.output.resolve()),
                "root": source.root,
                "kind": source.kind,
                "column": source.column,
                "threshold": threshold,
                "max_pixels": flags.max_pixels,
                "regions": flags.regions,
                "pixel_threshold": flags.pixel_threshold,
            }
            _score(flags, job, tasks, manifest, shift)
            described = shift.describe()
        used = scorer.threshold if threshold is None else threshold
        return job_folder.finish(flags.output, manifest, used, described)


def _score(
    flags: argparse.Namespace, job: dict, tasks: list, manifest: dict, shift: InputShift
) -> None:
    from . import worker

    left, shards = sum(task.rows for task in tasks), manifest["source"]["shards"]
    if not flags.quiet:
        going_on = f", {shards - len(tasks):,} of them done before" * (len(tasks) < shards)
        total = counted(manifest["source"]["rows"], "image")
        print(f"{total} in {counted(shards, 'shard')}{going_on}", file=sys.stderr)
    failures = []
    with worker.ray_running(flags.address, flags.workers or available_cores()) as cores:
        workers = flags.workers or cores
        with Progress(left, flags.quiet) as progress:
            for answer in worker.score_shards(job, tasks, workers):
                if answer["failure"]:
                    failures.append(answer)
                shift.add(json.loads(answer["sample"]))
                shift.elsewhere += answer["left_out"]
                progress.step(answer["rows"])
    if failures:
        first = min(failures, key=lambda answer: answer["shard"])
        raise DataError(
            f"{len(failures):,} of {len(tasks):,} shards could not be scored (the same command "
            f"tries them again). Received: in shard {first['shard']}, {first['failure']}"
        )


def main(arguments: Sequence[str] | None = None, prog: str = "python -m export.batch") -> int:
    """The command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    flags = parse(arguments, prog)
    began = time.monotonic()
    try:
        summary = run(flags)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; the same command goes on with what is missing") from None
    scored = summary["rows"] - summary["errors"]
    print(
        f"{counted(summary['rows'], 'image')}: {scored:,} scored "
        f"({counted(summary['anomalies'], 'anomaly')}), "
        f"{counted(summary['errors'], 'error')}; {counted(summary['shards'], 'shard')} "
        f"in {flags.output} after {time.monotonic() - began:.0f} s"
    )
    if summary["input_shift"]:
        print(f"warning: {summary['input_shift']}", file=sys.stderr)
    return 1 if summary["errors"] else 0


if __name__ == "__main__":
    sys.exit(run_cli(main))
