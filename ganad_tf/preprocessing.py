"""From stored pixels to the network's input and back: the one definition of preprocessing."""

import tensorflow as tf

WHITE = 255.0


def to_network(images: tf.Tensor, image_size: int) -> tf.Tensor:
    """Pads uint8 images to the network's square with black and scales them to [-1, 1].

    Args:
        images: uint8 [N, h, w, C], h and w at most `image_size` and known when the graph is built.
        image_size: S.

    Returns:
        float32 [N, S, S, C]; the image stands in the middle (28x28 gets a border of 2).
    """
    top, left = _offsets(images.shape, image_size)
    height, width = images.shape[1], images.shape[2]
    padding = [
        [0, 0],
        [top, image_size - height - top],
        [left, image_size - width - left],
        [0, 0],
    ]
    scaled = tf.cast(images, tf.float32) * (2 / WHITE) - 1
    return (
        tf.pad(scaled, padding, constant_values=-1.0) if image_size > min(height, width) else scaled
    )


def crop(maps: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Undoes the padding: [N, S, S, ...] to [N, height, width, ...]."""
    top, left = _offsets((None, height, width), maps.shape[1])
    return maps[:, top : top + height, left : left + width]


def enlarge(maps: tf.Tensor, image_size: int) -> tf.Tensor:
    """Brings maps [N, h, w] to the network's square, float32 [N, S, S], bilinearly."""
    return tf.image.resize(maps[..., None], (image_size, image_size))[..., 0]


def to_pixels(images: tf.Tensor) -> tf.Tensor:
    """Scales float32 images in [-1, 1] to uint8, rounding half to even."""
    return tf.cast(tf.round((images + 1) * (WHITE / 2)), tf.uint8)


def _offsets(shape, image_size: int) -> tuple[int, int]:
    height, width = shape[1], shape[2]
    if height > image_size or width > image_size:
        raise ValueError(
            f"Images must be at most {image_size}x{image_size} pixels, the network's size. "
            f"Received: {height}x{width}"
        )
    return (image_size - height) // 2, (image_size - width) // 2
