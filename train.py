"""Trains and reports an anomaly detector: `python train.py --normal 7`."""

import argparse
import shlex
import sys
from pathlib import Path

from ganad_tf.console import log_to_console
from ganad_tf.environment import start_tensorflow
from ganad_tf.errors import run_cli
from ganad_tf.settings.flags import add_flags, config_from_flags

DESCRIPTION = """\
Trains a dual-discriminator GAN to tell normal images from anomalous ones: one class of
Fashion-MNIST from all others, or your own images. Fits its anomaly score and threshold on
validation images, and writes metrics, plots and report.html.
"""

EXAMPLES = """\
examples:
  python train.py --normal 7                      sneakers are normal, the rest anomalous
  python train.py --normal shirt --baselines      beside the autoencoder and random baselines
  python train.py --normal 7 --protocol unseen    one kind of anomaly is known, eight are not
  python train.py --normal 7 --max-false-alarms 0.01
  python train.py --data photos --image-size 64   photos/normal, and photos/anomaly if any
  python train.py --resume runs/fashion_mnist-sneaker
"""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line; every setting of `RunConfig` is a flag."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_flags(parser)
    files = parser.add_argument_group("files and devices")
    files.add_argument(
        "--output", type=Path, help="new run's folder (default: runs/fashion_mnist-CLASS...)"
    )
    again = files.add_mutually_exclusive_group()
    again.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on with a stopped run, with its settings"
    )
    again.add_argument("--overwrite", action="store_true", help="replace an earlier run")
    files.add_argument("--data-dir", type=Path, help="where TFDS keeps prepared data")
    files.add_argument("--idx-dir", type=Path, help="folder with Fashion-MNIST's four IDX files")
    files.add_argument(
        "--devices", default="auto", help="auto, cpu, gpu (all) or gpu:N (default: auto)"
    )
    flags = parser.parse_args(arguments)
    if flags.resume and flags.output:
        parser.error("--resume goes on in the run's own folder; --output cannot be given with it")
    return flags


def main() -> None:
    flags = parse()
    log_to_console()
    start_tensorflow()
    # Imported late: --help and usage errors should not wait for TensorFlow.
    from ganad_tf.data.load import Source
    from ganad_tf.experiment import run_experiment
    from ganad_tf.run_folder import resumed_config
    from ganad_tf.training.devices import choose_execution

    if flags.resume:
        config = resumed_config(flags.resume, vars(flags))
    else:
        config = config_from_flags(vars(flags))
        print(f"preset {config.preset}", flush=True)
    execution = choose_execution(config.precision, flags.devices)
    print(execution.reason, flush=True)
    folder, metrics = run_experiment(
        config,
        execution,
        Source(flags.data_dir, flags.idx_dir),
        shlex.join(["python", *sys.argv]),
        flags.output,
        flags.resume,
        flags.overwrite,
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
    print(f"report: {folder / 'report.html'}")


if __name__ == "__main__":
    sys.exit(run_cli(main))
