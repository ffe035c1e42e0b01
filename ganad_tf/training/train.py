"""Trains the dual-discriminator GAN on the labelled part of a split."""

import dataclasses
from pathlib import Path

import keras
import numpy as np

from ganad_tf.atomic_files import write_json
from ganad_tf.data.batches import BalancedBatches
from ganad_tf.data.clusters import find_groups
from ganad_tf.data.image_view import Rows
from ganad_tf.data.splits import Splits
from ganad_tf.networks import Generator
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.synthesis.augmentation import Augmentation
from ganad_tf.training.checkpoint import Checkpoint, load_weights
from ganad_tf.training.devices import Execution, worker_index
from ganad_tf.training.history import History, StopWhenNotFinite, read_history
from ganad_tf.training.model import DualDiscriminatorGAN
from ganad_tf.training.workers import fit_on_workers

WARM_UP_STEPS = 100
CHECKPOINT, BEST = "checkpoint.weights.h5", "best.weights.h5"
CLUSTERS = "clusters.json"


def build_model(
    config: RunConfig,
    channels: int,
    precision: str = "float32",
    protocol: str = "seen",
    labelled_anomalies: int = 0,
    masked_anomalies: int = 0,
) -> DualDiscriminatorGAN:
    """Builds and compiles the model of a configuration.

    Args:
        config: the run's settings.
        channels: 1 or 3.
        precision: Keras dtype policy of the networks.
        protocol: of the split; decides the default share of synthetic anomalies.
        labelled_anomalies, masked_anomalies: how many are learnt from, and how many of these have
            a mask; decide the same.

    Returns:
        A compiled `DualDiscriminatorGAN`, its optimizers built.
    """
    keras.utils.set_random_seed(config.seed)
    model = DualDiscriminatorGAN(
        image_size=config.image_size,
        channels=channels,
        width=config.width,
        discriminator_width=config.discriminator_width,
        refine=config.refine,
        average_momentum=config.average_momentum,
        abc_scale=config.abc_scale,
        augmentation=Augmentation(config.flip, config.shift, config.turn),
        synthetic_share=config.synthetic_share(protocol, labelled_anomalies, masked_anomalies),
        synthetic_kinds=config.kinds_of_synthetic(),
        seed=config.seed,
        dtype=precision,
    )
    steps = config.epochs * config.steps_per_epoch

    def adam(learning_rate):
        # Warm-up: the first, large steps of Adam are what a GAN does not recover from.
        warm_up = min(WARM_UP_STEPS, steps // 10)
        schedule = keras.optimizers.schedules.CosineDecay(
            learning_rate / WARM_UP_STEPS,
            max(1, steps - warm_up),
            warmup_target=learning_rate,
            warmup_steps=warm_up,
        )
        return keras.optimizers.Adam(schedule, beta_1=config.beta_1)

    model.compile(
        generator_optimizer=adam(config.learning_rate),
        normal_optimizer=adam(config.discriminator_learning_rate),
        anomaly_optimizer=adam(config.discriminator_learning_rate),
        loss_weights=config.loss_weights,
    )
    return model


def learnt_from(splits: Splits, config: RunConfig) -> Splits:
    """The splits, without the labelled anomalies in training if all are to be synthetic.

    Those are made from normal images; made from anomalies, they would pass these for normal.
    """
    train = splits.train
    share = config.synthetic_share(splits.protocol, splits.labelled, splits.masked)
    if share < 1 or not splits.labelled:
        return splits
    normals = np.flatnonzero(~train.is_anomaly)
    rows = Rows(train.images, normals)
    without = dataclasses.replace(train, images=rows, kinds=train.kinds[normals])
    return dataclasses.replace(splits, train=without, places=None)


def train(
    config: RunConfig, splits: Splits, execution: Execution, run: Path, resumed: Path | None = None
) -> DualDiscriminatorGAN:
    """Trains, or goes on where a killed run stopped.

    Args:
        config: the run's settings.
        splits: the data; only `train` is learnt from, `validation` is watched.
        execution: device, precision and compilation.
        run: the run folder; gets `history.csv`, `clusters.json`, `tensorboard/` and, until the
            run ends, the checkpoint and the best weights.
        resumed: the folder with the checkpoint to go on from; by default `run`.

    Returns:
        The trained model; its averaged generator is the best epoch's.

    Raises:
        ArtefactError: if the checkpoint is damaged.
        TrainingError: if a loss is no longer finite.
    """
    splits = learnt_from(splits, config)
    labelled = splits.train
    anomalies = labelled.is_anomaly
    groups = find_groups(
        Rows(labelled.images, np.flatnonzero(anomalies)),
        labelled.kinds[anomalies],
        config.balance,
        config.cluster_count(),
        config.seed,
    )
    if groups.count:
        print(groups, flush=True)
    write_json(run / CLUSTERS, groups.to_dict())
    if splits.masked:
        print(f"{splits.masked} anomalies have a mask and go into other images, too", flush=True)
    batches = BalancedBatches(
        labelled,
        config.batch_size,
        config.steps_per_epoch,
        groups.numbers,
        config.seed,
        splits.places,
    )
    with execution.strategy.scope():
        channels = labelled.images.shape[-1]
        model = build_model(
            config,
            channels,
            execution.precision,
            splits.protocol,
            splits.labelled,
            splits.masked,
        )
        model.jit_compile = execution.jit_compile
        resumed = resumed or run
        if (resumed / CHECKPOINT).exists():
            load_weights(model, resumed / CHECKPOINT)
    done = int(model.step.value.numpy()) // config.steps_per_epoch
    if done:
        print(f"resuming after epoch {done}", flush=True)
    if done < config.epochs:
        history = History(
            run / "history.csv",
            run / BEST,
            splits.validation,
            config.batch_size * config.steps_per_epoch,
            read_history(resumed / "history.csv")[:done],
        )
        callbacks = [
            keras.callbacks.LambdaCallback(
                on_epoch_begin=lambda epoch, logs: setattr(batches, "epoch", epoch)
            ),
            StopWhenNotFinite(),
            history,
            keras.callbacks.TensorBoard(run / "tensorboard", write_graph=False),
            Checkpoint(run / CHECKPOINT),
        ]
        with execution.strategy.scope():
            if worker_index()[1] > 1:
                fit_on_workers(model, batches, config.epochs, done, callbacks)
            else:
                model.fit(
                    batches.dataset(),
                    epochs=config.epochs,
                    initial_epoch=done,
                    shuffle=False,  # the batches come in their own, replayable order
                    callbacks=callbacks,
                    verbose=0,
                )
    best = run / BEST if (run / BEST).exists() else resumed / BEST
    load_weights(model.averaged_generator, best)
    return model


def scoring_generator(model: DualDiscriminatorGAN) -> Generator:
    """The averaged generator as a float32 network, whatever precision it was trained in."""
    config = {**model.averaged_generator.get_config(), "dtype": "float32", "name": "generator"}
    generator = Generator.from_config(config)
    generator.build()
    generator.set_weights(model.averaged_generator.get_weights())
    generator.trainable = False
    return generator
