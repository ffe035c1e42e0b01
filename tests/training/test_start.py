"""A training that begins with the networks of an earlier run, and keeps its parts."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from ganad_tf.data.account import SplitEntry
from ganad_tf.data.folder.enlarged import enlarged_parts
from ganad_tf.data.folder.split_file import write_split
from ganad_tf.data.load import Source, load_splits
from ganad_tf.errors import ArtefactError, UsageError
from ganad_tf.plan import Plan
from ganad_tf.run_folder import CONFIG, METRICS, MODEL, PLAN, SPLIT_TABLE, START, started_config
from ganad_tf.settings.run_config import RunConfig
from ganad_tf.training.model import DualDiscriminatorGAN
from ganad_tf.training.start import (
    NETWORKS,
    check_same_plan,
    describe_start,
    load_enlarged,
    start_from,
)


def entry(path, part, is_anomaly=False):
    return SplitEntry(path, "hole" if is_anomaly else "normal", is_anomaly, part)


def test_images_of_the_earlier_run_keep_their_part_and_copies_follow_them():
    earlier = [entry("a", "train"), entry("b", "test"), entry("c", "unused"), entry("gone", "test")]
    drawn = dict.fromkeys(("a", "b", "c", "copy", "new"), "validation")
    assert enlarged_parts(earlier, drawn, [("b", "copy")]) == {
        **{"a": "train", "b": "test", "copy": "test"},
        **{"c": "validation", "new": "validation"},
    }


def test_a_run_goes_on_with_the_plan_that_it_was_begun_with(tmp_path):
    plan = Plan(epochs=8, layout_share=0.5, shares={"pixels": 1.0})
    check_same_plan(tmp_path, plan)  # it was stopped before it had one
    (tmp_path / PLAN).write_text(json.dumps(plan.to_dict()))
    check_same_plan(tmp_path, replace(plan, layout_share=0.501, shares={"pixels": 1.001}))
    for other, message in (
        ({"epochs": 5}, "epochs: 8 != 5"),
        ({"synthetic_kinds": ("paste",)}, r"synthetic_kinds: \(\) != \('paste',\)"),
        ({"shares": {"pixels": 1.1}}, "shares: "),
        ({"shares": {"features": 1.0}}, "shares: "),
    ):
        with pytest.raises(ArtefactError, match=rf"begun with; .*begun != now\): {message}"):
            check_same_plan(tmp_path, replace(plan, **other))
    stored = plan.to_dict()
    del stored["generator_size"]  # of an earlier version
    (tmp_path / PLAN).write_text(json.dumps(stored))
    check_same_plan(tmp_path, replace(plan, generator_size=64))


def small(**kwargs):
    return DualDiscriminatorGAN(
        **{"image_size": 32, "width": 2, "discriminator_width": 2, **kwargs}
    )


def test_a_split_file_that_holds_out_images_that_were_trained_on_is_warned_of(
    rng, tmp_path, caplog, monkeypatch
):
    monkeypatch.setenv("GANAD_CACHE_DIR", str(tmp_path / "cache"))
    photos, run, other = (tmp_path / name for name in ("photos", "run", "other.csv"))
    (photos / "normal").mkdir(parents=True)
    for number in range(12):
        pixels = rng.integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(photos / "normal" / f"{number}.png")
    config = RunConfig(data=str(photos), image_size=32)
    entries = load_splits(config).folder.entries
    write_split(entries, run / SPLIT_TABLE)
    caplog.set_level("INFO", "ganad_tf")
    caplog.clear()
    load_enlarged(config, Source(), run)
    assert caplog.text.count("own layout") == 1  # it is read once
    assert "trained on" not in caplog.text
    swapped = {"train": "test", "test": "train"}
    write_split([replace(one, part=swapped.get(one.part, one.part)) for one in entries], other)
    load_enlarged(replace(config, split=str(other)), Source(), run)
    count = sum(one.part == "train" for one in entries)
    assert f"{count} images that the earlier run was trained on are in validation" in caplog.text


@pytest.fixture
def earlier(tmp_path):
    """A finished run."""
    run = tmp_path / "earlier"
    run.mkdir()
    model = small(seed=3)
    model.compile(*(keras.optimizers.Adam() for _ in range(3)))
    for name in NETWORKS:
        network = getattr(model, name)
        network.set_weights([array + 1 for array in network.get_weights()])
    model.save(run / MODEL)
    config = RunConfig(data=str(tmp_path / "photos"), image_size=32, split=str(tmp_path / "s.csv"))
    (run / CONFIG).write_text(json.dumps(config.to_dict()))
    (run / METRICS).write_text("{}")
    return run, model


def test_all_networks_begin_with_the_earlier_weights_and_the_steps_with_none(earlier, tmp_path):
    run, model = earlier
    (tmp_path / START).write_text(json.dumps(describe_start(run, tmp_path)))
    new = small()
    start_from(new, tmp_path / START)
    for name in NETWORKS:
        for ours, theirs in zip(
            getattr(new, name).get_weights(), getattr(model, name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    assert int(new.step.value.numpy()) == 0


def test_other_networks_and_a_changed_run_are_refused(earlier, tmp_path):
    run, _ = earlier
    (tmp_path / START).write_text(json.dumps(describe_start(run, tmp_path)))
    with pytest.raises(ArtefactError, match=r"the same networks as in this run.*another generator"):
        start_from(small(width=4), tmp_path / START)
    (run / MODEL).write_bytes(b"another")
    with pytest.raises(ArtefactError, match=r"that this run was begun with\. Received: another"):
        start_from(small(), tmp_path / START)
    (run / MODEL).unlink()
    with pytest.raises(ArtefactError, match="Received: no such file"):
        start_from(small(), tmp_path / START)


def test_a_run_cannot_replace_the_one_that_it_starts_from(earlier):
    run, _ = earlier
    with pytest.raises(UsageError, match="--output must be another folder than --from"):
        describe_start(run, run)


def test_settings_are_the_earlier_ones_but_for_given_flags_and_the_split(earlier, tmp_path):
    run, _ = earlier
    config = started_config(run, {"epochs": 3})
    assert (config.epochs, config.image_size, config.split) == (3, 32, None)
    assert config.data == str(tmp_path / "photos")
    assert started_config(run, {"data": str(tmp_path / "more")}).data == str(tmp_path / "more")
    with pytest.raises(UsageError, match=r"--from keeps the networks .*image_size: 32 != 64"):
        started_config(run, {"image_size": 64})
    assert started_config(run, {"seed": 1}).seed == 1
    (run / MODEL).unlink()
    with pytest.raises(ArtefactError, match="expected a finished run"):
        started_config(run, {})


@pytest.mark.parametrize("changed", [{"seed": 1}, {"validation_fraction": 0.2}, {"normal": "3"}])
def test_the_parts_of_fashion_mnist_stay(earlier, changed):
    run, _ = earlier
    (run / CONFIG).write_text(json.dumps(RunConfig().to_dict()))
    assert started_config(run, {"seed": 0, "epochs": 3}).epochs == 3
    with pytest.raises(UsageError, match=rf"networks and the parts of .*{next(iter(changed))}: "):
        started_config(run, changed)
