"""Half normal, half anomalous, every group alike, and the order known from (seed, epoch)."""

import dataclasses

import numpy as np
import pytest

from ganad_tf.data.batches import BalancedBatches
from ganad_tf.data.images import LabelledImages
from ganad_tf.data.masks import Masks


def make_train(normals=10, anomalies=(3, 4, 50)):
    """Image i has the value i; normals first, then the groups one after another."""
    kinds = np.repeat(np.arange(1 + len(anomalies)), (normals, *anomalies)).astype(np.int64)
    images = np.arange(len(kinds), dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, 2, 3, 1), np.uint8
    )
    names = tuple("nabcd"[: 1 + len(anomalies)])
    return LabelledImages(images, kinds, names, frozenset({0}))


def make_batches(train=None, batch_size=12, steps=5, seed=0, grouped=True):
    train = train or make_train()
    groups = train.kinds[train.is_anomaly] if grouped else None
    return BalancedBatches(train, batch_size, steps, groups, seed)


def drawn(batches, epochs, half):
    return np.concatenate([batches.epoch_indices(epoch)[half].ravel() for epoch in range(epochs)])


def test_halves_are_normal_and_anomalous():
    normal, anomaly = make_batches().epoch_indices(0)
    assert normal.shape == anomaly.shape == (5, 6)
    assert (normal < 10).all()
    assert (anomaly >= 10).all()


def test_an_epoch_is_a_pure_function_of_seed_and_number():
    batches, other = make_batches(), make_batches(seed=1)
    later = batches.epoch_indices(7)
    batches.epoch_indices(2)
    for one, again in zip(later, make_batches().epoch_indices(7), strict=True):
        np.testing.assert_array_equal(one, again)
    assert (later[0] != batches.epoch_indices(6)[0]).any()
    assert (later[0] != other.epoch_indices(7)[0]).any()


def test_all_normals_come_once_before_any_comes_again_also_across_epochs():
    rounds = drawn(make_batches(), epochs=4, half=0).reshape(-1, 10)  # 120 draws of 10 images
    np.testing.assert_array_equal(np.sort(rounds), np.tile(np.arange(10), (12, 1)))
    assert len({tuple(one) for one in rounds}) == 12


def test_each_batch_draws_evenly_from_the_groups_however_uneven_they_are():
    train = make_train()
    _, anomaly = make_batches(train).epoch_indices(3)
    for batch in train.kinds[anomaly]:
        assert np.bincount(batch).tolist() == [0, 2, 2, 2]


def test_shares_even_out_over_time_where_a_batch_cannot_hold_every_group():
    train = make_train(anomalies=(5, 5, 5))
    anomaly = drawn(make_batches(train, batch_size=4, steps=1), epochs=9, half=1)
    assert np.bincount(train.kinds[anomaly]).tolist() == [0, 6, 6, 6]


def test_within_a_group_all_come_once_before_any_comes_again():
    train = make_train()
    anomaly = drawn(make_batches(train), epochs=6, half=1)
    smallest = anomaly[train.kinds[anomaly] == 1].reshape(-1, 3)
    assert (np.sort(smallest) == [10, 11, 12]).all()


def test_without_groups_all_anomalies_are_one():
    anomaly = drawn(make_batches(grouped=False), epochs=2, half=1)[:57]
    assert set(anomaly) == set(range(10, 67))


def test_without_anomalies_the_second_half_is_another_draw_of_normals():
    normal, anomaly = make_batches(make_train(anomalies=())).epoch_indices(0)
    assert set(anomaly.ravel()) == set(range(10))
    assert (normal != anomaly).any()


def test_the_dataset_holds_the_images_of_the_epoch_it_is_set_to():
    train = make_train()
    batches = make_batches(train)
    dataset = batches.dataset()
    assert dataset.element_spec["normal"].shape == (6, 2, 3, 1)
    assert int(dataset.cardinality()) == 5
    for epoch in (0, 1, 0):
        batches.epoch = epoch
        normal, anomaly = batches.epoch_indices(epoch)
        for step, batch in enumerate(dataset.as_numpy_iterator()):
            np.testing.assert_array_equal(batch["normal"], train.images[normal[step]])
            np.testing.assert_array_equal(batch["anomaly"], train.images[anomaly[step]])


def test_masks_come_with_their_anomalies(save, tmp_path):
    """Every second anomaly has a mask; its marked rows give away whose mask it is."""
    train = make_train(anomalies=(6,))
    images = np.repeat(train.images[:, :1, :1], 32, axis=1).repeat(32, axis=2)
    files = [None] * 10
    for number in range(6):
        mask = np.zeros((32, 32), np.uint8)
        mask[: 1 + number] = 255
        file = save(tmp_path / f"{number}.png", mask)
        files.append(file if number % 2 else None)
    masks = Masks(files, train.is_anomaly, 32)
    train = dataclasses.replace(train, images=images, masks=masks)
    for batch in BalancedBatches(train, 12, 5, seed=1).dataset(worker=1, workers=3):
        assert batch["mask"].shape == (2, 32, 32, 1)
        for image, mask in zip(batch["anomaly"].numpy(), batch["mask"].numpy(), strict=True):
            number = image[0, 0, 0] - 10
            marked = 1 + number if number % 2 else 32
            assert (mask[:marked] == 255).all()
            assert not mask[marked:].any()


def test_without_a_masked_anomaly_batches_have_no_masks():
    train = make_train()
    unknown = Masks([None] * len(train), train.is_anomaly, 32)
    for case in (train, dataclasses.replace(train, masks=unknown)):
        assert set(make_batches(case).dataset().element_spec) == {"normal", "anomaly"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 5, "steps_per_epoch": 1}, "Received: 5 and 1"),
        ({"batch_size": 4, "steps_per_epoch": 0}, "Received: 4 and 0"),
        ({"batch_size": 4, "steps_per_epoch": 1, "groups": [0, 1]}, r"\[57\].*Received: \[2\]"),
    ],
)
def test_what_cannot_be_batched_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BalancedBatches(make_train(), **arguments)


def test_there_must_be_normal_images():
    train = make_train()
    with pytest.raises(ValueError, match="train must hold normal images"):
        BalancedBatches(train.subset(np.flatnonzero(train.is_anomaly)), 4, 1)
