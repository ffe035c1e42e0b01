"""What runs on Ray for `export.batch`: actors that each score whole shards."""

import itertools
import json
import logging
import os
import socket
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganad_tf.atomic_files import replace_file
from ganad_tf.errors import GanadError, UsageError

from ..runtime import BATCH, InputShift, Scorer, describe
from .job import Task, part_name, read_pieces
from .sources import read_rows

if TYPE_CHECKING:
    import pyarrow

FIELDS = ("source", "score", "probability", "is_anomaly", "regions", "error")
# Rows that are written at once, so that no shard size fills the memory.
ROW_GROUP = 1 << 16
# Images of each shard whose statistics are compared with training's.
SAMPLE = 200
MIB = 1 << 20


def score_rows(
    scorer: Scorer, rows: Iterable, job: Mapping[str, Any], shift: InputShift
) -> Iterator[tuple]:
    """Turns (name, image) from `read_rows` into rows of the output, in order.

    Args:
        scorer: the model.
        rows: the images.
        job: `threshold`, `regions` and `pixel_threshold`, as for `Scorer.score_files`.
        shift: receives statistics of the images that were scored.
    """
    settings = {name: job[name] for name in ("threshold", "regions", "pixel_threshold")}
    rows = iter(rows)
    while batch := list(itertools.islice(rows, BATCH)):
        good = [(image, name) for name, image in batch if not isinstance(image, Exception)]
        records = scorer.score_files(good, shift=shift, **settings)
        for name, image in batch:
            failed = isinstance(image, Exception)
            record = {"error": describe(image)} if failed else next(records)
            yield (name, *(record.get(field) for field in FIELDS[1:]))


def write_part(path: Path, rows: Iterable[tuple], regions: bool = False) -> int:
    """Writes a shard's file, which appears when it is whole; returns its number of rows.

    Args:
        path: the file.
        rows: of `score_rows`.
        regions: whether it has that column.
    """
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    schema = _schema(regions)
    rows, count = iter(rows), 0
    with replace_file(path) as temporary, ParquetWriter(temporary, schema) as writer:
        while group := list(itertools.islice(rows, ROW_GROUP)):
            columns = dict(zip(FIELDS, map(list, zip(*group, strict=True)), strict=True))
            for name in ("source", "error"):
                columns[name] = [_text(text) for text in columns[name]]
            kept = {name: columns[name] for name in schema.names}
            writer.write_table(pyarrow.table(kept, schema))
            count += len(group)
    return count


def _schema(regions: bool) -> "pyarrow.Schema":
    import pyarrow

    box = pyarrow.list_(pyarrow.int32())
    region = pyarrow.struct(
        [
            ("box", box),
            ("area", pyarrow.int64()),
            ("percent", pyarrow.float64()),
            ("peak", pyarrow.float32()),
            ("file_box", box),
        ]
    )
    types = {
        "source": pyarrow.string(),
        "score": pyarrow.float32(),
        "probability": pyarrow.float32(),
        "is_anomaly": pyarrow.bool_(),
        **({"regions": pyarrow.list_(region)} if regions else {}),
        "error": pyarrow.string(),
    }
    return pyarrow.schema(list(types.items()))


def _text(text: str | None) -> str | None:
    """Parquet's strings are UTF-8; file names may be any bytes."""
    return text and text.encode("utf-8", "backslashreplace").decode("utf-8")


class ShardWorker:
    """One process with one session on one core, that scores one shard after the other.

    It answers with a few kilobytes for each shard. A shard that fails is an answer too, so that the
    others go on.
    """

    def __init__(self, job: dict[str, Any]):
        self.job = job
        self.scorer = Scorer(job["model"], threads=1, max_pixels=job["max_pixels"])

    def __call__(self, batch: dict[str, Any]) -> dict[str, list]:
        job, shard = self.job, int(batch["shard"][0])
        rows, failure = 0, ""
        shift = InputShift(self.scorer.ranges, SAMPLE)
        try:
            pieces = read_pieces(job["output"], int(batch["offset"][0]))
            images = read_rows(job["root"], job["kind"], job["column"], pieces)
            scored = score_rows(self.scorer, images, job, shift)
            rows = write_part(Path(job["output"], part_name(shard)), scored, job["regions"])
        except Exception as error:
            failure = str(error) if isinstance(error, GanadError) else describe(error)
        answer = {"shard": shard, "rows": rows, "failure": failure}
        answer |= {"sample": json.dumps(shift.rows), "left_out": shift.seen - len(shift.rows)}
        return {name: [value] for name, value in answer.items()}


def import_ray(alone: bool) -> None:
    """Imports what the extra `scale` brings, with the settings that Ray reads when imported.

    Args:
        alone: on this machine, not on a cluster.

    Raises:
        UsageError: if something is missing; the message names the extra.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # What its processes would print here stands in its logs (/tmp/ray) as well.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "CRITICAL")
    if alone:
        # Where Ray forms no clusters, as by default on macOS, it listens on 127.0.0.1 alone.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        import google_crc32c  # noqa: F401
        import pyarrow.parquet  # noqa: F401
        import ray.data  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"batch scoring needs the extra `scale`: pip install 'ganad_tf[scale]'. "
            f"Received: {error}"
        ) from None


@contextmanager
def ray_running(address: str | None, cores: int) -> Iterator[int]:
    """Starts Ray on this machine alone, or joins a cluster; yields its number of cores.

    Raises:
        UsageError: if no cluster answers.
    """
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        # The objects in Ray's store are the shards' numbers, so the least size will do.
        with _silent():
            ray.init(
                "local",
                num_cpus=cores,
                include_dashboard=False,
                object_store_memory=80 * MIB,
                **quiet,
            )
    else:
        host, _, port = address.rpartition(":")
        try:
            if host and port.isdecimal():
                # Ray would try for minutes.
                socket.create_connection((host.removeprefix("ray://"), int(port)), 10).close()
            with _silent():
                ray.init(address, **quiet)
        except (OSError, OverflowError, RuntimeError, ValueError) as error:
            raise UsageError(
                "--address must be that of a running Ray cluster, as in 10.0.0.5:6379 (with "
                "RAY_AUTH_MODE=token in the environment if it asks for tokens). "
                f"Received: {address!r} ({describe(error)})"
            ) from None
    try:
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        ray.shutdown()


@contextmanager
def _silent() -> Iterator[None]:
    """Drops what Ray's native code prints while it starts; what goes wrong is raised anyway."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


def score_shards(job: dict[str, Any], tasks: list[Task], workers: int) -> Iterator[dict[str, Any]]:
    """Scores shards on an actor pool and yields the answer for each.

    Yields:
        `shard`, its number; `rows`, how many were written; `failure`, the reason why not, or "";
        `sample`, statistics of some of its images as JSON, for `InputShift.add`; `left_out`, how
        many more images were measured.

    Raises:
        GanadError: if workers die again and again.
    """
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # What Ray logs of an error, we raise as one line.
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # Only so can restarts be limited, until Ray 2.64 (see setup.cfg).
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
    items = [{"shard": task.shard, "offset": task.offset} for task in tasks]
    # A block for each shard: a shard's answer comes as soon as it is written, and only the answers
    # pass through Ray.
    answers = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        ShardWorker,
        fn_constructor_args=(job,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(workers, len(items))),
        num_cpus=1,
        # A worker may die of others' hunger for memory; an image that kills each must end the job.
        max_restarts=3,
        max_task_retries=3,
    )
    try:
        yield from answers.iter_rows()
    except ray.exceptions.RayError as error:
        reason = str(error).partition("\n")[0]
        raise GanadError(
            "expected workers that stay alive (short of memory, or an image that crashes its "
            "reader?); the same command goes on with what is missing. "
            f"Received: {type(error).__name__}: {reason}"
        ) from None
