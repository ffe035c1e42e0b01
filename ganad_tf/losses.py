"""The eight losses of Kim et al. 2020 and two of our own, each a plain function of tensors.

Every function returns one value per image, float32 [N]; the model averages them over the global
batch and weighs them with `LossWeights`. Images are float32 [N, S, S, C] in [-1, 1]. A
discriminator's judgement is the pair `(image [N], patches [N, P, P])`.
"""

import dataclasses

import tensorflow as tf

Judgement = tuple[tf.Tensor, tf.Tensor]

# Keeps -log(1 - exp(-error)) finite when a reconstruction is perfect.
MIN_ERROR = 1e-6
# P(normal) of a pixel is exp(-LOCAL_SCALE * error). It is 1/2 at an error of 0.14; errors lie in
# [0, 2].
LOCAL_SCALE = 5.0
# The same for single pixels. It is larger because some pixels are always reconstructed perfectly;
# there it bounds the gradient.
MIN_LOCAL_ERROR = 0.2
# At this logit both the series of softplus and the plain formula are exact to float32, so scores
# make no jump there.
SERIES_BELOW = -5.0


@dataclasses.dataclass(frozen=True)
class Patches:
    """Which patches the patch loss and the patch score look at.

    Args:
        size: height and width of a patch in pixels; a multiple of `stride`.
        stride: pixels from one patch to the next.
        largest: k, how many of the largest patch errors count.
    """

    size: int
    stride: int
    largest: int

    @classmethod
    def for_image_size(cls, image_size: int) -> "Patches":
        """16x16 patches, 3 of 9, at 32x32; 32x32 patches, 10 of 49, at 128x128.

        Sources: Ferrari and Enneifer for 32x32, the code of Kim et al. 2020 for 128x128.
        """
        size = max(16, image_size // 4)
        count = ((image_size - size) // (size // 2) + 1) ** 2
        return cls(size, size // 2, 3 if count == 9 else max(1, round(count / 5)))


def pixel_errors(images: tf.Tensor, reconstructions: tf.Tensor) -> tf.Tensor:
    """|x - G(x)| averaged over the colour channels: float32 [N, S, S] in [0, 2]."""
    return tf.reduce_mean(tf.abs(images - reconstructions), axis=-1)


def mean_error(errors: tf.Tensor) -> tf.Tensor:
    """L1(x, G(x)), the mean over an image's pixels.

    Args:
        errors: `pixel_errors`, [N, S, S].
    """
    return tf.reduce_mean(errors, axis=[1, 2])


def largest_patch_error(errors: tf.Tensor, patches: Patches) -> tf.Tensor:
    """Mean of the k largest patch errors of each image.

    Args:
        errors: `pixel_errors`, [N, S, S].
        patches: size, stride and k.
    """
    # Two average pools cost less than one with overlapping windows: first disjoint blocks of
    # stride x stride pixels, then windows of blocks.
    blocks = tf.nn.avg_pool2d(errors[..., None], patches.stride, patches.stride, "VALID")
    windows = tf.nn.avg_pool2d(blocks, patches.size // patches.stride, 1, "VALID")
    flat = tf.reshape(windows, [-1, windows.shape[1] * windows.shape[2]])
    return tf.reduce_mean(tf.math.top_k(flat, patches.largest, sorted=False).values, axis=1)


def smoothed_errors(errors: tf.Tensor) -> tf.Tensor:
    """Errors averaged over squares of about a sixteenth of the image's side, [N, S, S].

    3x3 pixels at 32x32, 9x9 at 128x128: fine enough for small defects, without the noise of single
    pixels. Padding is left out of the average. A square of an even side, such as 8x8 at 112x112,
    reaches one pixel further down and to the right than up and to the left.
    """
    size = errors.shape[1] // 16 + 1
    return tf.nn.avg_pool2d(errors[..., None], size, 1, "SAME")[..., 0]


def normal_reconstruction_loss(errors: tf.Tensor) -> tf.Tensor:
    """Loss 1, for G: L1(x_n, G(x_n))."""
    return mean_error(errors)


def patch_loss(errors: tf.Tensor, patches: Patches) -> tf.Tensor:
    """Loss 2, for G: mean of the k largest patch L1 errors of x_n."""
    return largest_patch_error(errors, patches)


def latent_loss(features: tf.Tensor, features_of_reconstruction: tf.Tensor) -> tf.Tensor:
    """Loss 3, for G: L1(E(x_n), E(G(x_n))), over bottleneck maps [N, h, w, c]."""
    difference = tf.cast(features, tf.float32) - tf.cast(features_of_reconstruction, tf.float32)
    return tf.reduce_mean(tf.abs(difference), axis=[1, 2, 3])


def normal_adversarial_loss(fake: Judgement) -> tf.Tensor:
    """Loss 4, for G: (D_N(G(x_n)) - 1)^2, so that normal reconstructions look real."""
    return _squared_distance(fake, 1.0)


def abc_loss(errors: tf.Tensor, scale: float = 1.0) -> tf.Tensor:
    """Loss 5, for G: -log(1 - exp(-scale * L1(x_a, G(x_a)))), so that anomalies fail.

    The negative log likelihood of a classifier with P(normal | x) = exp(-error).

    Source: Yamanaka et al. 2019 (Autoencoding Binary Classifiers).
    """
    error = scale * mean_error(errors) + MIN_ERROR
    return -tf.math.log(-tf.math.expm1(-error))


def local_abc_loss(errors: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
    """Our own, for G: the ABC likelihood of each pixel, for anomalies with a mask.

    With d = LOCAL_SCALE * |x_s - G(x_s)| at each pixel: the mean of -log(1 - exp(-d)) over the
    anomalous pixels plus the mean of d over the others. Loss 5 requires a large error over
    the whole image; a small defect must be reconstructed badly at its own pixels only.

    Args:
        errors: `pixel_errors`, [N, S, S].
        masks: 1 at anomalous pixels, 0 at others, [N, S, S].
    """
    distances = LOCAL_SCALE * errors
    anomalous = -tf.math.log(-tf.math.expm1(-distances - MIN_LOCAL_ERROR))

    def mean(values, weights):
        total = tf.reduce_sum(weights, axis=[1, 2])
        return tf.reduce_sum(values * weights, axis=[1, 2]) / tf.maximum(total, 1.0)

    return mean(anomalous, masks) + mean(distances, 1 - masks)


def anomaly_adversarial_loss(fake: Judgement) -> tf.Tensor:
    """Loss 6, for G: (D_A(G(x_a)) - 0)^2, so that anomalous reconstructions do not look real."""
    return _squared_distance(fake, 0.0)


def classifier_error(logit: tf.Tensor) -> tf.Tensor:
    """d = softplus(logit): the head's "error" of an image, above 0, with P(normal | x) = exp(-d).

    Far below 0 it is computed by its series, because some runtimes evaluate softplus as
    log(1 + exp(x)), which keeps no digits there, and scores are logarithms of this.

    Args:
        logit: float32 [N], the generator's head.
    """
    small = tf.exp(tf.minimum(logit, SERIES_BELOW))
    series = small * (1 - small * (1 / 2 - small / 3))
    return tf.where(logit < SERIES_BELOW, series, tf.nn.softplus(logit))


def feature_abc_loss(logit: tf.Tensor, is_anomaly: bool) -> tf.Tensor:
    """Our own, for G: the ABC likelihood with the head's error in place of the reconstruction's.

    With d = softplus(logit) and P(normal | x) = exp(-d): d for normal images and
    -log(1 - exp(-d)) for anomalies, which is softplus(-logit). It trains the encoder directly; loss
    5 trains it through the decoder.

    Args:
        logit: float32 [N], the generator's head.
        is_anomaly: whether these are anomalies.
    """
    return tf.nn.softplus(-logit if is_anomaly else logit)


def normal_discriminator_loss(real: Judgement, fake: Judgement) -> tf.Tensor:
    """Loss 7, for D_N: (D_N(x_n) - 1)^2 + D_N(G(x_n))^2."""
    return _squared_distance(real, 1.0) + _squared_distance(fake, 0.0)


def anomaly_discriminator_loss(real: Judgement, fake: Judgement) -> tf.Tensor:
    """Loss 8, for D_A: (D_A(x_a) - 1)^2 + D_A(G(x_a))^2."""
    return _squared_distance(real, 1.0) + _squared_distance(fake, 0.0)


def _squared_distance(judgement: Judgement, target: float) -> tf.Tensor:
    # Least squares (Mao et al. 2017). Both heads count alike, and patches are averaged, not summed:
    # Ferrari and Enneifer summed one map and averaged the others.
    image, patches = judgement
    of_patches = tf.reduce_mean(tf.square(patches - target), axis=[1, 2])
    return (tf.square(image - target) + of_patches) / 2
