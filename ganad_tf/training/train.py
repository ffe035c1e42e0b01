"""Trains the dual-discriminator GAN on the labelled part of a split."""

import logging
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from ganad_tf.atomic_files import write_json
from ganad_tf.data.batches import BalancedBatches
from ganad_tf.data.clusters import find_groups
from ganad_tf.data.images import LabelledImages
from ganad_tf.data.splits import Splits
from ganad_tf.errors import TrainingError
from ganad_tf.plan import Plan, learnt_from
from ganad_tf.run_folder import BEST, CHECKPOINT, CLUSTERS, HISTORY, PLAN, START, TENSORBOARD
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.training.build import build_model
from ganad_tf.training.checkpoint import Checkpoint, load_weights
from ganad_tf.training.devices import Execution, worker_index
from ganad_tf.training.history import History, StopWhenNotFinite, TrackEpochs, read_history
from ganad_tf.training.model import DualDiscriminatorGAN
from ganad_tf.training.start import check_same_plan, start_from
from ganad_tf.training.workers import fit_on_workers

_LOGGER = logging.getLogger(__name__)


def train(
    config: RunConfig,
    plan: Plan,
    splits: Splits,
    execution: Execution,
    run: Path,
    resumed: Path | None = None,
) -> DualDiscriminatorGAN:
    """Trains, or goes on where a killed run stopped.

    Args:
        config: the run's settings.
        plan: of the run.
        splits: the data; only `train` is learnt from, `validation` is watched.
        execution: device, precision and compilation.
        run: the run folder; its `start.json`, if there is one, names the run whose weights are
            begun with. Gets `plan.json`, `history.csv`, `clusters.json`, `tensorboard/` and,
            until the run ends, the checkpoint and the best weights.
        resumed: the folder with the checkpoint to go on from; by default `run`.

    Returns:
        The trained model; its averaged generator is the best epoch's.

    Raises:
        ArtefactError: if the checkpoint is damaged, or the run was begun with another plan.
        TrainingError: if a loss is no longer finite, or memory does not suffice.
    """
    resumed = resumed or run
    check_same_plan(resumed, plan)
    write_json(run / PLAN, plan.to_dict())
    splits = learnt_from(plan, splits)
    batches = _batches(config, plan, splits, run)
    with execution.strategy.scope():
        model = build_model(config, plan, splits.train.images.shape[-1], execution.precision)
        model.jit_compile = execution.jit_compile
        if (resumed / CHECKPOINT).exists():
            load_weights(model, resumed / CHECKPOINT)
        elif (resumed / START).exists():
            start_from(model, resumed / START)
    done = _epochs_done(model, config)
    if done:
        _LOGGER.info("resuming after epoch %d", done)
    if done < plan.epochs:
        try:
            _fit(model, batches, config, plan, splits.validation, execution, (run, resumed))
        except tf.errors.ResourceExhaustedError as error:
            raise TrainingError(
                "a training step must fit into the device's memory; --batch-size or --image-size "
                f"must be smaller. Received: {error.message.splitlines()[0]}"
            ) from None
    best = run / BEST if (run / BEST).exists() else resumed / BEST
    load_weights(model.averaged_generator, best)
    return model


def _batches(config: RunConfig, plan: Plan, splits: Splits, run: Path) -> BalancedBatches:
    """The batches of a run, its anomalies in groups; writes `clusters.json`."""
    labelled = splits.train
    anomalies = labelled.subset(np.flatnonzero(labelled.is_anomaly))
    groups = find_groups(
        anomalies.images,
        anomalies.kinds,
        config.balance,
        plan.n_clusters,
        config.seed,
    )
    if groups.count:
        _LOGGER.info("%s", groups)
    write_json(run / CLUSTERS, groups.to_dict())
    if plan.n_masked:
        _LOGGER.info("%d anomalies have a mask and are pasted into other images", plan.n_masked)
    return BalancedBatches(
        labelled, config.batch_size, config.steps_per_epoch, groups.numbers, config.seed
    )


def _fit(
    model: DualDiscriminatorGAN,
    batches: BalancedBatches,
    config: RunConfig,
    plan: Plan,
    validation: LabelledImages,
    execution: Execution,
    folders: tuple[Path, Path],
) -> None:
    """Trains the epochs that are left; `folders` are the run's and the one to go on from."""
    run, resumed = folders
    done = _epochs_done(model, config)
    history = History(
        run / HISTORY,
        run / BEST,
        validation,
        config.batch_size * config.steps_per_epoch,
        read_history(resumed / HISTORY)[:done],
    )
    callbacks = [
        keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: setattr(batches, "epoch", epoch)
        ),
        StopWhenNotFinite(),
        history,
        keras.callbacks.TensorBoard(run / TENSORBOARD, write_graph=False),
        *([TrackEpochs(execution.tracker, history, run)] if execution.tracker else []),
        Checkpoint(run / CHECKPOINT),  # last: an epoch that is kept is tracked, too
    ]
    with execution.strategy.scope():
        if worker_index()[1] > 1:
            fit_on_workers(model, batches, plan.epochs, done, callbacks)
        else:
            model.fit(
                batches.dataset(),
                epochs=plan.epochs,
                initial_epoch=done,
                shuffle=False,  # the batches come in their own, replayable order
                callbacks=callbacks,
                verbose=0,
            )


def _epochs_done(model: DualDiscriminatorGAN, config: RunConfig) -> int:
    return int(model.step.value.numpy()) // config.steps_per_epoch
