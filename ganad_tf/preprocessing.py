"""From stored pixels to the network's input and back: the one definition of preprocessing."""

import tensorflow as tf

WHITE = 255.0


def to_network(images: tf.Tensor, image_size: int) -> tf.Tensor:
    """Brings uint8 images to the network's square and scales them to [-1, 1].

    Smaller images are padded with black. Larger ones are averaged over blocks of pixels.

    Args:
        images: uint8 [N, h, w, C]; h and w known when the graph is built, at most `image_size` or
            the same multiple of it.
        image_size: S.

    Returns:
        float32 [N, S, S, C]; a smaller image stands in the middle (28x28 gets a border of 2).
    """
    scaled = tf.cast(images, tf.float32) * (2 / WHITE) - 1
    height, width = images.shape[1], images.shape[2]
    if height > image_size and height == width and height % image_size == 0:
        return tf.nn.avg_pool2d(scaled, height // image_size, height // image_size, "VALID")
    top, left = _offsets(height, width, image_size)
    padding = [
        [0, 0],
        [top, image_size - height - top],
        [left, image_size - width - left],
        [0, 0],
    ]
    return (
        tf.pad(scaled, padding, constant_values=-1.0) if image_size > min(height, width) else scaled
    )


def reduce_pixels(images: tf.Tensor, image_size: int) -> tf.Tensor:
    """Averages uint8 images [N, h, h, C] over blocks to [N, S, S, C]; small ones stay as they are.

    Args:
        images: h is at most S, or a multiple of it.
        image_size: S.
    """
    factor = images.shape[1] // image_size
    if factor <= 1:
        return images
    blocks = tf.nn.avg_pool2d(tf.cast(images, tf.float32), factor, factor, "VALID")
    return tf.cast(tf.round(blocks), tf.uint8)


def to_encoder(images: tf.Tensor, image_size: int) -> tf.Tensor:
    """Brings uint8 images [N, h, w, C] to the pretrained encoder's square, float32 in [-1, 1].

    Bilinear, without padding: a border of black is nothing that the encoder knows.
    """
    scaled = tf.cast(images, tf.float32) * (2 / WHITE) - 1
    if images.shape[1] == images.shape[2] == image_size:
        return scaled
    return tf.image.resize(scaled, (image_size, image_size))


def to_image(maps: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Brings maps of the network's square [N, S, S, ...] back to an image's pixels.

    Undoes the padding of `to_network`, or enlarges bilinearly: [N, height, width, ...].
    """
    if height <= maps.shape[1] and width <= maps.shape[1]:
        return crop(maps, height, width)
    channels = maps if maps.shape.rank == 4 else maps[..., None]
    large = tf.image.resize(channels, (height, width))
    return large if maps.shape.rank == 4 else large[..., 0]


def crop(maps: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Undoes the padding: [N, S, S, ...] to [N, height, width, ...]."""
    top, left = _offsets(height, width, maps.shape[1])
    return maps[:, top : top + height, left : left + width]


def enlarge(maps: tf.Tensor, image_size: int) -> tf.Tensor:
    """Brings maps [N, h, w] to the network's square, float32 [N, S, S], bilinearly."""
    return tf.image.resize(maps[..., None], (image_size, image_size))[..., 0]


def to_pixels(images: tf.Tensor) -> tf.Tensor:
    """Scales float32 images in [-1, 1] to uint8, rounding half to even."""
    return tf.cast(tf.round((images + 1) * (WHITE / 2)), tf.uint8)


def _offsets(height: int, width: int, image_size: int) -> tuple[int, int]:
    if height > image_size or width > image_size:
        raise ValueError(
            f"Images must be at most {image_size}x{image_size} pixels, the network's size, or a "
            f"multiple of it. Received: {height}x{width}"
        )
    return (image_size - height) // 2, (image_size - width) // 2
