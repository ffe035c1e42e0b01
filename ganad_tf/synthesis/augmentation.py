"""Random flips, shifts and rotations of training images, inside the graph."""

import dataclasses

import tensorflow as tf

from ganad_tf.synthesis.whole_image import rotate

# Stream of random numbers; the flips and shifts have those of the seed itself.
_FOR_ROTATION = 3


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Flips images left to right and shifts them by a few pixels.

    Args:
        flip: whether each image is mirrored with probability one half.
        shift: largest shift in pixels in each direction; the edge pixels fill the gap.
        rotation: whether each image is rotated by 0 to 3 times 90 degrees; images must be square
            then.
    """

    flip: bool = True
    shift: int = 1
    rotation: bool = False

    def __call__(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Augments each image by itself.

        Args:
            images: any dtype [N, h, w, C].
            seed: int32 [2]; the same seed gives the same result, so a resumed run repeats it.

        Returns:
            Images of the same shape and dtype.
        """
        if self.rotation:
            images = rotate(images, tf.random.fold_in(seed, _FOR_ROTATION), min_quarters=0)
        count = tf.shape(images)[0]
        height, width = images.shape[1], images.shape[2]
        for_columns, for_mirror, for_rows = tf.unstack(tf.random.split(seed, 3))
        columns = self._positions(count, width, for_columns)
        if self.flip:
            mirrored = tf.random.stateless_uniform([count, 1], for_mirror) < 0.5
            columns = tf.where(mirrored, width - 1 - columns, columns)
        if self.shift:
            # Two gathers, of rows and of columns, cost a tenth of a crop per image.
            rows = self._positions(count, height, for_rows)
            images = tf.gather(images, rows, axis=1, batch_dims=1)
        if self.shift or self.flip:
            images = tf.gather(images, columns, axis=2, batch_dims=1)
        return images

    def _positions(self, count: tf.Tensor, length: int, seed: tf.Tensor) -> tf.Tensor:
        """Source positions [count, length] along one axis."""
        if not self.shift:
            return tf.tile(tf.range(length)[None, :], [count, 1])
        shifts = tf.random.stateless_uniform(
            [count, 1], seed, minval=-self.shift, maxval=self.shift + 1, dtype=tf.int32
        )
        return tf.clip_by_value(tf.range(length)[None, :] + shifts, 0, length - 1)
