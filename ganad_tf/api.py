"""Training from Python: `ganad_tf.train(images)`."""

import dataclasses
import difflib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganad_tf.environment import start_tensorflow
from ganad_tf.errors import UsageError
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.settings.short import shortened

if TYPE_CHECKING:
    from ganad_tf.data.splits import Splits
    from ganad_tf.scoring import Detector

# Settings of runs on Fashion-MNIST, of a run's report, and of reading files.
NOT_OURS = frozenset({"normal", "known", "known_share", "anomalies", "data", "baselines"})
OF_FILES = frozenset({"split", "test_fraction", "skip_bad", "bit_depth", "max_pixels"})


def train(
    images: "np.ndarray | Sequence[np.ndarray] | str | os.PathLike[str]",
    labels: "Sequence[int] | Sequence[str] | np.ndarray | None" = None,
    masks: "np.ndarray | Sequence[np.ndarray | None] | None" = None,
    **settings: Any,
) -> "Detector":
    """Trains a detector on arrays or on a folder, as `ganad train --data` does.

    No run folder is written. A part of the images, `validation_fraction`, is held out of training
    and decides the best epoch, the score and the threshold. With few photos of objects, normal
    images that are learnt from count in the threshold, too. No test is made: keep images of your
    own for that. Progress is logged by the logger `ganad_tf`.

        detector = ganad_tf.train(images, labels, epochs=5)
        detector.predict(others)       # 1 for anomalies

    Args:
        images: uint8 [N, H, W, 3] or, of grey images, [N, H, W, 1] or [N, H, W]; or a sequence of
            [H, W, C] and [H, W] of several sizes; or a folder of image files as for `ganad train
            --data`, of which the test part is left out.
        labels: [N], 0 for normal images and 1 for anomalies, or a number or name for each kind of
            anomaly (`normal` for normal images). None if all images are normal. Not for a folder,
            whose layout says it.
        masks: for each image its defective pixels, [H, W], not 0 on defects; None or all 0 where
            they are unknown, and for normal images. Not for a folder.
        **settings: fields of `RunConfig`, such as `epochs=5`, `image_size=64`, `seed=1` or
            `max_false_alarms=0.01`; defaults are those for own images.

    Returns:
        The detector; `Detector.save` keeps it, `Detector.export` writes it for other runtimes.

    Raises:
        UsageError: if a setting is unknown or out of its range.
        DataError: if the images, labels or masks cannot be used.
        TrainingError: if a loss is no longer finite.
    """
    folder = str(Path(images)) if isinstance(images, str | os.PathLike) else None
    if folder is not None and not (labels is None and masks is None):
        raise UsageError(
            "labels and masks must be None with a folder, whose layout says them. "
            f"Received: {'labels' if labels is not None else 'masks'}"
        )
    _check_names(settings, folder is not None)
    # The settings' rules for own images follow from `data`. Arrays have no folder; no code opens
    # the one named here.
    config = shortened(RunConfig(data=folder or "arrays", **settings))
    if "tensorflow" not in sys.modules:
        start_tensorflow()
    # Imported late: `import ganad_tf` should not wait for TensorFlow.
    from ganad_tf.data.load import load_splits

    splits = load_splits(config) if folder else _split(images, labels, masks, config)
    return _train(config, splits)


def _check_names(settings: dict[str, Any], from_files: bool) -> None:
    known = {field.name for field in dataclasses.fields(RunConfig)} - NOT_OURS
    known -= set() if from_files else OF_FILES
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UsageError(
                f"settings must be among {', '.join(sorted(known))}. Received: {name}{hint}"
            )


def _split(images: Any, labels: Any, masks: Any, config: RunConfig) -> "Splits":
    from ganad_tf.data.arrays import split_arrays
    from ganad_tf.data.folder.options import FolderOptions

    options = FolderOptions(
        image_size=config.image_size,
        channels=config.channels,
        resize=config.resize,
        seed=config.seed,
        validation_fraction=config.validation_fraction,
        learn_anomalies=config.protocol != "none",
    )
    return split_arrays(images, labels, masks, options)


def _train(config: RunConfig, splits: "Splits") -> "Detector":
    from ganad_tf.experiment import pretrained_encoder, train_detector
    from ganad_tf.plan import make_plan
    from ganad_tf.scoring import fit_encoder
    from ganad_tf.training.devices import choose_execution

    size, _, channels = splits.image_shape
    config = dataclasses.replace(config, image_size=size, channels=channels)
    execution = choose_execution(config.precision, batch_size=config.batch_size)
    plan = make_plan(config, splits)
    plan, features = fit_encoder(config, plan, splits, pretrained_encoder(config))
    with tempfile.TemporaryDirectory(prefix="ganad-") as folder:
        return train_detector(config, plan, splits, features, execution, Path(folder))
