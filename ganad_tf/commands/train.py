"""Trains and reports an anomaly detector: `ganad train --normal 7`."""

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from ganad_tf.console import log_to_console
from ganad_tf.data.fashion_mnist.classes import CLASSES, parse_class
from ganad_tf.environment import start_tensorflow
from ganad_tf.errors import CommandParser, UsageError
from ganad_tf.settings.flags import add_flags, config_from_flags
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.settings.short import shortened
from ganad_tf.tracking import BACKENDS, NONE, choose_tracker

DESCRIPTION = """\
Trains a dual-discriminator GAN to tell normal images from anomalous ones: one class of
Fashion-MNIST from all others, or your own images. On your own images, frozen ImageNet features
join the score; on photos of objects they are all of it. Fits the anomaly score and the threshold
on validation images, and writes metrics, plots and report.html.
"""

EXAMPLES = """\
examples:
  %(prog)s --normal 7                      sneakers are normal, the rest anomalous
  %(prog)s --normal shirt --baselines      beside the autoencoder and random baselines
  %(prog)s --normal 7 --protocol unseen    one kind of anomaly is known, eight are not
  %(prog)s --normal 7 --max-false-alarms 0.01
  %(prog)s --data photos --image-size 64   photos/normal, and photos/anomaly if any
  %(prog)s --from runs/photos --output runs/photos-2    photos has grown
  %(prog)s --resume runs/fashion_mnist-sneaker
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the flags; every setting of `RunConfig` is one."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    add_flags(parser)
    files = parser.add_argument_group("files and devices")
    files.add_argument(
        "--output", type=Path, help="new run's folder (default: runs/fashion_mnist-CLASS...)"
    )
    again = files.add_mutually_exclusive_group()
    again.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on with a stopped run, with its settings"
    )
    files.add_argument(
        "--from",
        dest="start",
        type=Path,
        metavar="RUN",
        help="begin with the weights and settings of a finished run; its images keep their part, "
        "new ones join",
    )
    again.add_argument("--overwrite", action="store_true", help="replace an earlier run")
    files.add_argument("--data-dir", type=Path, help="where TFDS keeps prepared data")
    files.add_argument("--idx-dir", type=Path, help="folder with Fashion-MNIST's four IDX files")
    files.add_argument(
        "--devices", default="auto", help="auto, cpu, gpu (all) or gpu:N (default: auto)"
    )
    files.add_argument(
        "--track",
        choices=(*BACKENDS, NONE),
        help="follow the run in MLflow or Weights & Biases, too, by their own environment "
        "variables; without these, in local files (default: none, or as a resumed run was begun)",
    )


def parse(arguments: Sequence[str], prog: str) -> argparse.Namespace:
    """Parses the command line."""
    parser = CommandParser(prog)
    configure(parser)
    flags = parser.parse_args(arguments)
    if flags.resume and flags.output:
        parser.error("--resume goes on in the run's own folder; --output cannot be given with it")
    if flags.resume and flags.start:
        parser.error("--resume goes on with a run as it was begun; --from cannot be given with it")
    return flags


def new_config(flags: argparse.Namespace) -> RunConfig:
    """The settings of a new run.

    Raises:
        UsageError: if one is wrong.
    """
    config = shortened(config_from_flags(vars(flags)))
    if config.data and not Path(config.data).exists():
        raise UsageError(
            "--data must be a folder of images or a CSV file. "
            f"Received: {flags.data}, which does not exist"
        )
    if not config.data:
        parse_class(config.normal, CLASSES)
        if config.known is not None:
            parse_class(config.known, CLASSES, "--known")
    print(f"preset {config.preset}", flush=True)
    return config


def main(arguments: Sequence[str] | None = None, prog: str = "python train.py") -> None:
    """The command."""
    arguments = sys.argv[1:] if arguments is None else arguments
    flags = parse(arguments, prog)
    log_to_console()
    begun = flags.resume or flags.start
    config = None if begun else new_config(flags)
    start_tensorflow()
    # Imported late: --help and usage errors should not wait for TensorFlow.
    from ganad_tf.data.load import Source
    from ganad_tf.evaluation.test_set import better_baselines
    from ganad_tf.experiment import run_experiment
    from ganad_tf.run_folder import resumed_config, started_config
    from ganad_tf.training.devices import choose_execution, worker_index

    if config is None:
        config = (resumed_config if flags.resume else started_config)(begun, vars(flags))
    tracker = None if worker_index()[0] else choose_tracker(flags.track, flags.resume)
    execution = choose_execution(config.precision, flags.devices, config.batch_size)
    execution = dataclasses.replace(execution, tracker=tracker)
    print(execution.reason, flush=True)
    folder, metrics = run_experiment(
        config,
        execution,
        Source(flags.data_dir, flags.idx_dir),
        shlex.join([*prog.split(), *arguments]),
        flags.output,
        flags.resume,
        flags.overwrite,
        flags.start,
    )
    if not metrics:
        return  # a helping worker
    rate, found = metrics["false_alarm_rate"], metrics["recall"]
    if found is None:
        print(f"no anomaly to test with; at the threshold {rate:.1%} false alarms")
    else:
        print(
            f"test AUROC {metrics['auroc']:.4f}; at the threshold {found:.1%} of the anomalies are "
            f"found, with {rate:.1%} false alarms"
        )
    for sentence in better_baselines(metrics):
        print(f"note: {sentence}")
    print(f"report: {folder / 'report.html'}")
