"""Names that settings, artefacts and reports share; a test holds each to its implementation."""

from collections.abc import Mapping

# Components: what is measured on an image. Higher is more anomalous.
RECONSTRUCTION = "reconstruction"  # mean |x - G(x)|
PATCH = "patch"  # mean error of the worst patches
MAX_ERROR = "max_error"  # largest smoothed pixel error
PIXELS = "pixels"  # distance of averaged pixels to normal ones
FEATURES = "features"  # distance of pooled encoder maps to normal ones
PATCH_FEATURES = "patch_features"  # distance of the most unusual places of an encoder map
CLASSIFIER = "classifier"  # error of the generator's head
GENERATOR_COMPONENTS = (
    *(RECONSTRUCTION, PATCH, MAX_ERROR, PIXELS, FEATURES, PATCH_FEATURES, CLASSIFIER),
)
# Those that the generator's training changes.
TRAINED_COMPONENTS = tuple(name for name in GENERATOR_COMPONENTS if name != PIXELS)
# The same of a pretrained encoder, where there is one.
ENCODER_FEATURES = "encoder_features"  # distance of pooled ImageNet features to normal ones
ENCODER_PATCHES = "encoder_patches"  # distance of the most unusual places
ENCODER_DETAILS = "encoder_details"  # the same of fine details
LABEL_DIRECTION = "label_direction"  # coordinate on the way to the labelled anomalies
ENCODER_COMPONENTS = (ENCODER_FEATURES, ENCODER_PATCHES, ENCODER_DETAILS, LABEL_DIRECTION)
COMPONENTS = (*GENERATOR_COMPONENTS, *ENCODER_COMPONENTS)

# Score recipes: the share of each component, in units of its spread over normal images.
NOVELTY, FEW_LABELS, PRETRAINED = "novelty", "few_labels", "pretrained"
DEFECTS, MASKED_DEFECTS, ALL = "defects", "masked_defects", "all"
RECIPES: dict[str, Mapping[str, float]] = {
    RECONSTRUCTION: {RECONSTRUCTION: 1.0},
    FEATURES: {FEATURES: 1.0},
    PATCH_FEATURES: {PATCH_FEATURES: 1.0},
    MAX_ERROR: {MAX_ERROR: 1.0},
    # Whole images that differ from the normal ones. Chosen on Fashion-MNIST classes 0, 6 and 7.
    NOVELTY: {FEATURES: 1.0, PIXELS: 1.0, PATCH_FEATURES: 0.5, CLASSIFIER: 0.25},
    # The same with a few labelled anomalies of every kind. Chosen on the same classes.
    FEW_LABELS: {FEATURES: 1.0, CLASSIFIER: 1.5},
    # Normal objects with a local defect. Chosen on textures with synthetic defects.
    DEFECTS: {MAX_ERROR: 1.0, PATCH: 1.0, PATCH_FEATURES: 1.0, CLASSIFIER: 0.5},
    # The same with masks of labelled defects. Chosen on the same textures.
    MASKED_DEFECTS: {PATCH: 1.0, FEATURES: 1.0, CLASSIFIER: 2.0},
    # Frozen ImageNet features and what else fits the images; see `object_or_texture` in scoring.
    PRETRAINED: {ENCODER_FEATURES: 1.0},
    CLASSIFIER: {CLASSIFIER: 1.0},
    ALL: dict.fromkeys(GENERATOR_COMPONENTS, 1.0),
}
# Recipes whose shares are fitted to labelled validation images where there are enough of them.
FITTED_RECIPES = (ALL,)
AUTO = "auto"

# Entry of a scorer's explanation: how many of its normal images are training images, each measured
# by features that were fitted without it. It is absent or 0 without any.
CROSS_FITTED = "cross_fitted_images"

# Which anomalies are labelled in training.
PROTOCOLS = ("seen", "unseen", "few", "none")
# Sides of the square that images are brought to; the U-Net halves it four times.
IMAGE_SIZES = range(32, 257, 16)
# The group of settings that are of no use without `--data`.
OWN_IMAGES_GROUP = "own images"
# How image files are read; see `ganad_tf.data.image_files.decoding`.
RESIZE_MODES = ("stretch", "pad")
BIT_DEPTHS = (8, 10, 12, 14, 16)  # of 16-bit files; cameras fill 10, 12 or 14 of the bits

# The share of labelled anomalies under protocol `unseen`, as Deep SAD has it.
KNOWN_SHARE = 0.05
# The number of labelled anomalies under protocol `few`.
ANOMALIES = 600

# Pretrained networks.
NO_ENCODER, EFFICIENTNET_LITE0 = "none", "efficientnet_lite0"
ENCODERS = (NO_ENCODER, EFFICIENTNET_LITE0)

# Kinds of synthetic anomalies.
ROTATE, SHUFFLE, PASTE, LOCAL_DEFECT = "rotate", "shuffle", "paste", "local_defect"
SYNTHETIC_KINDS = (ROTATE, SHUFFLE, PASTE, LOCAL_DEFECT)

# Names of format 1, still accepted as values of flags and in stored files.
SCORE_ALIASES = {
    "spot": MAX_ERROR,
    "local": PATCH_FEATURES,
    "mixed": FEW_LABELS,
    "taught": MASKED_DEFECTS,
    "joint": ALL,
}
KIND_ALIASES = {"turn": ROTATE, "blot": LOCAL_DEFECT}


def score_name(name: str) -> str:
    """The present name of a component or recipe: `spot` -> `max_error`."""
    return SCORE_ALIASES.get(name, name)


def kind_name(name: str) -> str:
    """The present name of a kind of synthetic anomaly: `blot` -> `local_defect`."""
    return KIND_ALIASES.get(name, name)
