"""The data of a run, from its configuration."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ganad_tf.data.account import SplitEntry
from ganad_tf.data.fashion_mnist.classes import parse_class
from ganad_tf.data.fashion_mnist.load import load_fashion_mnist
from ganad_tf.data.fashion_mnist.protocols import Labelling, split_one_class
from ganad_tf.data.folder.load import load_folder
from ganad_tf.data.folder.options import FolderOptions
from ganad_tf.data.splits import Splits
from ganad_tf.settings.run_config import RunConfig


@dataclass(frozen=True)
class Source:
    """Where Fashion-MNIST is read from; see `load_fashion_mnist`."""

    data_dir: Path | None = None
    idx_dir: Path | None = None


ANY_SOURCE = Source()


def load_splits(
    config: RunConfig, source: Source = ANY_SOURCE, earlier: Sequence[SplitEntry] = ()
) -> Splits:
    """Loads the images that the configuration names, and splits them.

    Args:
        config: with `data`, a folder of images; without it, Fashion-MNIST with one normal class.
        source: where Fashion-MNIST is read from; by default every known source is tried.
        earlier: the split of an earlier run on own images, which keep their part.

    Raises:
        UsageError: if there is no class of the given name.
        DataError: if the images cannot be loaded, or too few can be used.
    """
    if config.data:
        return load_folder(
            Path(config.data),
            FolderOptions(
                image_size=config.image_size,
                channels=config.channels,
                resize=config.resize,
                bit_depth=config.bit_depth,
                max_pixels=config.max_pixels,
                seed=config.seed,
                validation_fraction=config.validation_fraction,
                test_fraction=config.test_fraction,
                learn_anomalies=config.protocol != "none",
                split_file=Path(config.split) if config.split else None,
                earlier=tuple(earlier),
                skip_bad=config.skip_bad,
            ),
        )
    train, test = load_fashion_mnist(source.data_dir, source.idx_dir)
    names = train.kind_names
    return split_one_class(
        train,
        test,
        parse_class(config.normal, names),
        Labelling(
            config.protocol,
            None if config.known is None else parse_class(config.known, names, "--known"),
            config.anomalies,
            config.known_share,
        ),
        config.validation_fraction,
        config.seed,
    )
