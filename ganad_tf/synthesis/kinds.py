"""Kinds of synthetic anomalies: one function and one entry of `KINDS` each.

They are made from normal images inside the graph. With them, a model can be trained without
labelled anomalies, and learns that anomalies other than the labelled ones exist.
"""

import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf

from ganad_tf.settings.names import LOCAL_DEFECT, PASTE, ROTATE, SHUFFLE
from ganad_tf.synthesis.local_defects import local_defect
from ganad_tf.synthesis.whole_image import cut_and_paste, rotate, shuffle

# Streams up to this come from one split of the seed, as runs of earlier versions drew them.
_SPLIT_STREAMS = 4


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of synthetic anomaly.

    Args:
        make: (uint8 [N, h, w, C], seed int32 [2]) -> changed images and their masks, uint8
            [N, h, w, C] and [N, h, w, 1]; a mask is 255 where the image is anomalous, else 0.
        stream: of random numbers, different for each kind; from 1.
    """

    make: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    stream: int


def _whole(
    change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """A kind whose images are anomalous everywhere."""
    return lambda images, seed: (change(images, seed), everywhere(images))


KINDS: dict[str, Kind] = {
    ROTATE: Kind(_whole(rotate), 1),
    SHUFFLE: Kind(_whole(shuffle), 2),
    PASTE: Kind(_whole(cut_and_paste), 3),
    LOCAL_DEFECT: Kind(local_defect, 4),
}


def synthesise(
    images: tf.Tensor, seed: tf.Tensor, kinds: Sequence[str]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes an anomaly of each image, of a kind drawn at random.

    Args:
        images: uint8 [N, h, w, C], h = w.
        seed: int32 [2]; the same seed gives the same anomalies.
        kinds: keys of `KINDS`, at least one.

    Returns:
        images: uint8 [N, h, w, C].
        masks: uint8 [N, h, w, 1], 255 where an image is anomalous, else 0.
    """
    for_kind = tf.random.split(seed, _SPLIT_STREAMS)[0]
    count = tf.shape(images)[0]
    drawn = tf.random.stateless_uniform([count, 1, 1, 1], for_kind, 0, len(kinds), tf.int32)
    made, masks = images, everywhere(images)
    for number, name in enumerate(kinds):
        kind = KINDS[name]
        changed, mask = kind.make(images, _seed_of(kind.stream, seed))
        made = tf.where(drawn == number, changed, made)
        masks = tf.where(drawn == number, mask, masks)
    return made, masks


def everywhere(images: tf.Tensor) -> tf.Tensor:
    """Masks of images that are anomalous as a whole: 255, uint8 [N, h, w, 1]."""
    return tf.fill(tf.concat([tf.shape(images)[:3], [1]], 0), tf.constant(255, tf.uint8))


def _seed_of(stream: int, seed: tf.Tensor) -> tf.Tensor:
    if stream < _SPLIT_STREAMS:
        return tf.random.split(seed, _SPLIT_STREAMS)[stream]
    return tf.random.fold_in(seed, stream - _SPLIT_STREAMS + 1)
