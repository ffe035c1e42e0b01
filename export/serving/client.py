"""Asks TensorFlow Serving for scores: a command and a library.

    python -m export.serving.client photo.png folder/ --server 127.0.0.1:8500
    python -m export.serving.client folder/ --server 127.0.0.1:8501 --rest

One JSON object per image on stdout, as from export/runtime.py. Exit codes: 0 all scored; 1 an image
could not be read or the server did not answer; 2 wrong usage.
"""

import argparse
import collections
import itertools
import json
import os
import random
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from ganad_tf.errors import CommandParser, UsageError, check_positive, run_cli

from ..runtime import (
    BIT_DEPTHS,
    RESIZE_MODES,
    SettingError,
    add_max_pixels_flag,
    check_pillow,
    check_threshold,
    describe_skipped,
    find_images,
)
from .records import Reading, score_batch
from .transports import MAPS, OUTPUTS, Grpc, Rest, ServingError, Unavailable

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


class Client:
    """A connection to one model of a TensorFlow Serving server; may be shared by threads.

    Args:
        server: "host:port"; TensorFlow Serving's ports are 8500 (gRPC) and 8501 (REST).
        model: its name in models.config.
        label: ask for the version of this label, for example `stable`; by default the newest.
        rest: use the REST interface; gRPC is several times faster.
        timeout: seconds for each attempt.
        attempts: how often to try while the server is unreachable or overloaded. Between attempts
            the client waits for a random time below 0.1 s, 0.2 s, 0.4 s ... at most 5 s, so that
            many clients do not return all at once.
    """

    def __init__(
        self,
        server: str,
        model: str = "ganad",
        label: str | None = None,
        rest: bool = False,
        timeout: float = 10.0,
        attempts: int = 5,
    ):
        host, separator, port = server.rpartition(":")
        if not (separator and host and port.isdecimal() and 0 < int(port) < 65536):
            raise UsageError(f"--server must be HOST:PORT. Received: {server!r}")
        if timeout <= 0 or attempts < 1:
            raise UsageError(
                "--timeout must be above 0 and --attempts at least 1. "
                f"Received: {timeout} and {attempts}"
            )
        self.server, self.model, self.label = server, model, label
        self.timeout, self.attempts = timeout, attempts
        self._transport = Rest(self) if rest else Grpc(self)

    def image_shape(self) -> tuple[int, int, int]:
        """(h, w, C) of the images that the model takes, as the server says."""
        return self._try(self._transport.signature)[0]

    def score(
        self,
        images: np.ndarray | Sequence[bytes],
        threshold: float | None = None,
        outputs: Sequence[str] = OUTPUTS,
    ) -> dict[str, np.ndarray]:
        """Scores one batch.

        Args:
            images: uint8 [N, h, w, C], or N PNG or JPEG files as bytes. One file that the server
                cannot decode makes it refuse them all, and the requests that it joined with them.
            threshold: decide by this one instead of the model's.
            outputs: which of `score` and `probability` float32 [N], `is_anomaly` bool [N],
                `anomaly_map` float32 [N, h, w] and `mask` bool [N, h, w].

        Raises:
            ServingError: if the server refuses, or does not answer in all attempts.
            SettingError: if the threshold is NaN.
        """
        if len(images) == 0:
            raise ServingError("images must be at least one. Received: none")
        threshold = check_threshold(threshold)
        asked = list(dict.fromkeys(["score", *outputs]))
        results = self._try(self._transport.predict, images, asked)
        for name in asked:
            if name not in results or np.shape(results[name])[:1] != (len(images),):
                raise ServingError(
                    f"{self.server}: expected {name!r} for {len(images)} images. "
                    f"Received: {np.shape(results[name]) if name in results else 'no such output'}"
                )
        if threshold is not None:
            results["is_anomaly"] = results["score"] > threshold
        return {name: results[name] for name in outputs}

    def _check_mask(self, outputs: set[str]) -> None:
        if not set(MAPS) <= outputs:
            raise UsageError(
                f"--regions: expected a model with the outputs {' and '.join(MAPS)} at "
                f"{self.server} (export it again). Received: {', '.join(sorted(outputs))}"
            )

    def score_files(
        self,
        paths: Iterable[str],
        batch_size: int = 32,
        concurrency: int = 4,
        threshold: float | None = None,
        resize: str = "stretch",
        bit_depth: int = 16,
        max_pixels: int | None = None,
        regions: bool = False,
    ) -> Iterator[dict]:
        """Scores image files in constant memory, yielding one record each, in order.

        It takes more than seven parameters, those of a request and those of reading files.

        Files are decoded here, by the same rules as in export/runtime.py, so that a broken one is
        an error record and not a refused batch.

        Args:
            paths: file names.
            batch_size: files in a request.
            concurrency: requests at once.
            threshold: as for `score`.
            resize: how the model was trained to take other shapes, which the server cannot tell:
                its run's `--resize`.
            bit_depth: of 16-bit files, as in training; in the `ganad.json` beside the model.
            max_pixels: image files of more pixels are refused (default: 64,000,000).
            regions: whether records have `regions`, as from `export.runtime`. Their maps make an
                answer thousands of times as long.

        Raises:
            UsageError: if regions are asked for, and the model has no mask.
            ServingError: as soon as a batch fails for good; earlier records have been yielded.
        """
        shape, known = self._try(self._transport.signature)
        if regions:
            self._check_mask(known)
        check_pillow()
        reading = Reading(shape, resize, bit_depth, max_pixels, regions)

        def score(images: np.ndarray) -> dict[str, np.ndarray]:
            return self.score(images, threshold, reading.outputs)

        paths = iter(paths)
        pending: collections.deque[Future[list[dict]]] = collections.deque()
        with ThreadPoolExecutor(concurrency) as pool:
            try:
                while batch := list(itertools.islice(paths, batch_size)):
                    pending.append(pool.submit(score_batch, score, batch, reading))
                    if len(pending) > concurrency:
                        yield from pending.popleft().result()
                while pending:
                    yield from pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()

    def _try(self, call, *arguments):
        for attempt in range(self.attempts):
            try:
                return call(*arguments)
            except Unavailable as error:
                reason = error
            if attempt + 1 < self.attempts:
                limit = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
                time.sleep(random.uniform(0, limit))
        raise ServingError(
            f"{self.server}: expected an answer within {self.timeout:g} s. "
            f"Received: {reason} ({self.attempts} attempts)"
        )


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the flags."""
    parser.description = "Scores images with a model on TensorFlow Serving, one JSON line each."
    parser.add_argument("images", nargs="+", help="image files, or folders (read at any depth)")
    parser.add_argument(
        "--server",
        metavar="HOST:PORT",
        help="(default: port 8500 of this machine, or 8501 with --rest)",
    )
    parser.add_argument("--rest", action="store_true", help="REST instead of gRPC")
    parser.add_argument("--model", default="ganad", help="its name there (default: ganad)")
    parser.add_argument("--label", help="version label, such as stable (default: newest)")
    parser.add_argument("--threshold", type=float, help="decide by this instead of the model's")
    parser.add_argument(
        "--regions", action="store_true", help="also where and how large the marked regions are"
    )
    parser.add_argument(
        "--resize",
        "--fit",
        choices=RESIZE_MODES,
        default=RESIZE_MODES[0],
        help="as the model was trained (default: stretch)",
    )
    parser.add_argument(
        "--bit-depth",
        type=int,
        choices=BIT_DEPTHS,
        default=16,
        help="of 16-bit files, as the model was trained (default: 16)",
    )
    add_max_pixels_flag(parser)
    parser.add_argument("--batch-size", type=int, default=32, help="(default: 32)")
    parser.add_argument("--concurrency", type=int, default=4, help="requests at once (default: 4)")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds (default: 10)")
    parser.add_argument("--attempts", type=int, default=5, help="(default: 5)")


def main(
    arguments: Sequence[str] | None = None, prog: str = "python -m export.serving.client"
) -> int:
    """The command."""
    parser = CommandParser(prog)
    configure(parser)
    flags = parser.parse_args(arguments)
    check_positive(flags, "batch_size", "concurrency", "max_pixels")
    for stream in (sys.stdout, sys.stderr):
        # A file name of any bytes must not stop the run.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        threshold = check_threshold(flags.threshold)
    except SettingError as error:
        raise UsageError(f"--{error}") from None
    server = flags.server
    if server is None:
        server = f"127.0.0.1:{8501 if flags.rest else 8500}"
    client = Client(server, flags.model, flags.label, flags.rest, flags.timeout, flags.attempts)
    problems: list[dict] = []
    skipped: collections.Counter = collections.Counter()
    scored = failed = 0
    try:
        paths = (path for path, _ in find_images(flags.images, problems, skipped))
        records = client.score_files(
            paths,
            flags.batch_size,
            flags.concurrency,
            threshold,
            flags.resize,
            flags.bit_depth,
            flags.max_pixels,
            flags.regions,
        )
        for record in itertools.chain(records, problems):
            print(json.dumps(record, ensure_ascii=False), flush=True)
            failed += "error" in record
            scored += "error" not in record
    except ServingError as error:
        raise ServingError(f"{error}; {scored} images were scored before") from None
    finally:
        client.close()
    if skipped:
        print(f"not scored: {describe_skipped(skipped)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run_cli(main))
