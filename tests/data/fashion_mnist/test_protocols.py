"""Which images are normal, labelled and held out under the four protocols."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganad_tf.data.fashion_mnist.classes import CLASSES, parse_class
from ganad_tf.data.fashion_mnist.protocols import PROTOCOLS, Labelling, split_one_class
from ganad_tf.data.images import LabelledImages
from ganad_tf.errors import DataError, UsageError


def numbered(per_kind, kinds=10, start=0):
    """Images that carry their own number in their pixels."""
    count = per_kind * kinds
    numbers = np.arange(start, start + count, dtype=np.int32)
    images = numbers.view(np.uint8).reshape(count, 2, 2, 1)
    names = tuple(f"kind {k}" for k in range(kinds))
    return LabelledImages(images, np.arange(count, dtype=np.int64) % kinds, names)


def numbers(part):
    return np.ascontiguousarray(part.images).reshape(-1).view(np.int32)


TRAIN, TEST = numbered(200), numbered(20, start=10_000)


def split(protocol="seen", known=None, anomalies=60, known_share=0.05, **arguments):
    labelling = Labelling(protocol, known, anomalies, known_share)
    return split_one_class(
        TRAIN, TEST, labelling=labelling, **{"normal": 3, "seed": 1, **arguments}
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *[("7", 7), (" 0 ", 0), (7, 7)],
        *[("sneaker", 7), ("SHIRT", 6), ("t-shirt", 0), ("top", 0), ("T-shirt/top", 0)],
        *[("ankle boot", 9), ("ankle-boot", 9), ("Ankle_Boot", 9)],
    ],
)
def test_a_class_goes_by_number_or_name(text, number):
    assert parse_class(text, CLASSES) == number


@pytest.mark.parametrize("text", ["10", "-1", "1.0", "", "boot", "²", "shirt/top", "9" * 5000])
def test_an_unknown_class_is_told_what_there_is(text):
    with pytest.raises(UsageError, match=r"from 0 to 9, or one of T-shirt/top.*Received: "):
        parse_class(text, CLASSES)


@pytest.mark.parametrize(
    ("protocol", "anomalies", "held_out"),
    [
        ("seen", 1800, 180),  # nine kinds of 200
        ("unseen", 11, 1),  # 5 % of 200 + 11
        ("few", 60, 6),
        ("none", 0, 0),
    ],
)
def test_counts_follow_the_protocol(protocol, anomalies, held_out):
    summary = split(protocol=protocol).summary()
    assert summary["train"]["normal"] == 180
    assert summary["validation"]["normal"] == 20
    assert summary["train"]["anomaly"] == anomalies - held_out
    assert summary["validation"]["anomaly"] == held_out
    assert summary["test"]["normal"] == 20
    assert summary["test"]["anomaly"] == 180


def test_seen_holds_out_the_same_share_of_every_kind():
    summary = split(protocol="seen").summary()
    assert set(summary["train"]["kinds"].values()) == {180}
    assert set(summary["validation"]["kinds"].values()) == {20}


def test_unseen_labels_one_class_the_next_unless_named():
    def labelled(part):
        return set(np.unique(part.kinds[part.is_anomaly]).tolist())

    assert labelled(split(protocol="unseen").train) == {4}
    assert labelled(split(protocol="unseen", normal=9).train) == {0}
    chosen = split(protocol="unseen", known=8)
    assert labelled(chosen.train) == labelled(chosen.validation) == {8}
    assert labelled(chosen.test) == set(range(10)) - {3}


@pytest.mark.parametrize(("share", "labelled"), [(0.01, 2), (0.05, 11), (0.5, 200)])
def test_unseen_labels_the_share_that_is_asked_for(share, labelled):
    splits = split(protocol="unseen", known_share=share)
    assert (splits.train.is_anomaly.sum() + splits.validation.is_anomaly.sum()) == labelled


def test_few_draws_evenly_from_all_classes():
    summary = split(protocol="few", anomalies=60).summary()
    labelled = [
        summary["train"]["kinds"][name] + summary["validation"]["kinds"][name]
        for name in TRAIN.kind_names
        if name != "kind 3"
    ]
    assert sum(labelled) == 60
    assert set(labelled) == {6, 7}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_image_is_in_two_parts_and_the_test_set_stays_as_it_is(protocol):
    splits = split(protocol=protocol)
    training, held_out = set(numbers(splits.train)), set(numbers(splits.validation))
    assert not training & held_out
    assert training | held_out <= set(numbers(TRAIN))
    assert len(training) + len(held_out) == len(splits.train) + len(splits.validation)
    np.testing.assert_array_equal(splits.test.images, TEST.images)
    np.testing.assert_array_equal(splits.test.kinds, TEST.kinds)
    assert splits.test.normal_kinds == {3}
    assert splits.normal_name == "kind 3"


def test_the_same_normal_images_are_held_out_under_every_protocol():
    held_out = [split(protocol=protocol).validation for protocol in PROTOCOLS]
    normals = {tuple(numbers(part)[~part.is_anomaly]) for part in held_out}
    assert len(normals) == 1


def test_the_seed_decides_and_the_fingerprint_tells():
    assert split().fingerprint == split().fingerprint
    np.testing.assert_array_equal(split().validation.images, split().validation.images)
    others = [split(seed=2), split(normal=4), split(protocol="none"), split(protocol="unseen")]
    others += [split_one_class(TRAIN, numbered(20), 3, seed=1)]
    assert len({split().fingerprint, *(other.fingerprint for other in others)}) == 6


@given(
    per_kind=st.integers(2, 12),
    kinds=st.integers(2, 5),
    protocol=st.sampled_from(PROTOCOLS),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=100, deadline=None)
def test_both_parts_get_some_of_all_that_is_labelled(per_kind, kinds, protocol, fraction, seed):
    data = numbered(per_kind, kinds)
    try:
        splits = split_one_class(data, data, 0, Labelling(protocol, None, 2), fraction, seed)
    except DataError:
        assert protocol == "unseen"  # 5 % of so few is a single one
        return
    for part in (splits.train, splits.validation):
        assert not part.is_anomaly.all()
        assert part.is_anomaly.any() == splits.train.is_anomaly.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"normal": 10}, "normal must be a class from 0 to 9. Received: 10"),
        ({"protocol": "some"}, "protocol must be one of seen, .* Received: 'some'"),
        ({"protocol": "unseen", "known": 3}, "other than the normal one, 3. Received: 3"),
        ({"protocol": "unseen", "known_share": 1.0}, "between 0 and 1. Received: 1.0"),
        ({"protocol": "few", "anomalies": 1}, "anomalies must be at least 2.*Received: 1"),
        ({"validation_fraction": 1.0}, "between 0 and 1. Received: 1.0"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(UsageError, match=message):
        split(**arguments)


def test_too_few_images_are_a_matter_of_data():
    with pytest.raises(DataError, match=r"hold the 5000 anomalies.*Received: 1800"):
        split(protocol="few", anomalies=5000)
    with pytest.raises(
        DataError, match=r"at least 2 images of the normal class kind 3. Received: 1"
    ):
        split_one_class(numbered(1), TEST, 3)
