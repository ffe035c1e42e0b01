"""The detector: images in, named results out. The ONE definition that every runtime repeats."""

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ganad_tf.atomic_files import read_json, replace_dir, write_json
from ganad_tf.command_names import command_name
from ganad_tf.data.arrays import prepare_images
from ganad_tf.data.image_files.decoding import MAX_PIXELS
from ganad_tf.data.image_view import ImageView
from ganad_tf.environment import use_true_float32
from ganad_tf.errors import ArtefactError, DataError
from ganad_tf.networks import Generator
from ganad_tf.scoring import detector_files as files
from ganad_tf.scoring.feature_distance import FeatureDistances
from ganad_tf.scoring.measure import Measurer
from ganad_tf.scoring.regions import Explanation, find_regions
from ganad_tf.scoring.scorer import Scorer

# Fixed for all images, so that a normal image never glows: few normal pixels pass 1.
MAP_COLOUR_RANGE = (0.0, 2.0)

Images = np.ndarray | ImageView | Sequence[np.ndarray]


class Detector:
    """A trained, fitted anomaly detector.

    `score_samples`, `decision_function` and `predict` follow scikit-learn, and higher always means
    more anomalous. They take uint8 images of any size: [N, H, W, C], [N, H, W] if they are grey, or
    a sequence of [H, W, C] and [H, W]. Images are brought to `image_shape` as image files are.

    Args:
        measurer: the moving-average generator and what was fitted on training images.
        scorer: fitted on validation images.
        image_shape: (h, w, C) of the uint8 images it takes.
        resize: how image files of other shapes are brought to (h, w): `stretch` or `pad`; see
            `ganad_tf.data.image_files.decoding.prepare`.
        bit_depth: how many bits of 16-bit image files are in use; see there.
        max_pixels: the most pixels that an image file may have.
        image_ranges: ranges of simple statistics of the normal training images; see
            `ganad_tf.data.image_statistics.fit_ranges`. None if they are not known.
    """

    def __init__(
        self,
        measurer: Measurer,
        scorer: Scorer,
        image_shape: tuple[int, int, int],
        resize: str = "stretch",
        bit_depth: int = 16,
        max_pixels: int = MAX_PIXELS,
        image_ranges: Mapping[str, Any] | None = None,
    ):
        use_true_float32()  # scores are defined in it
        self.measurer, self.scorer = measurer, scorer
        self.image_shape, self.resize = tuple(image_shape), resize
        self.bit_depth, self.max_pixels = bit_depth, max_pixels
        self.image_ranges = image_ranges
        self._compiled = tf.function(
            self.graph,
            input_signature=[tf.TensorSpec((None, *self.image_shape), tf.uint8)],
            autograph=False,
        )

    @property
    def generator(self) -> Generator:
        """The generator that scores."""
        return self.measurer.generator

    @property
    def networks(self) -> list[keras.Model]:
        """Every network of the scoring graph."""
        encoder = self.measurer.encoder
        return [self.generator] if encoder is None else [self.generator, encoder.encoder]

    @property
    def has_mask(self) -> bool:
        """Whether it has a pixel threshold, which detectors of earlier versions do not have."""
        return self.scorer.pixel_threshold is not None

    def graph(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """The scoring graph, for evaluation and for export alike.

        Args:
            images: uint8 [N, h, w, C].

        Returns:
            `score` float32 [N], higher is more anomalous; `probability` float32 [N];
            `is_anomaly` bool [N]; `anomaly_map` float32 [N, h, w], see `Scorer.anomaly_map`;
            `reconstruction` uint8 [N, h, w, C]; and with a pixel threshold `mask` bool [N, h, w].
        """
        wanted = {component.name for component in self.scorer.components}
        measured = self.measurer(images, wanted | set(self.scorer.map_kinds()))
        score = self.scorer.score(measured.values)
        anomaly_map = self.scorer.anomaly_map(measured.maps)
        return {
            "score": score,
            "probability": self.scorer.probability(score),
            "is_anomaly": self.scorer.is_anomaly(score),
            "anomaly_map": anomaly_map,
            **({"mask": self.scorer.mask(anomaly_map)} if self.has_mask else {}),
            "reconstruction": measured.reconstruction,
        }

    def score_samples(self, images: Images) -> np.ndarray:
        """The anomaly score float32 [N], which every exported format gives, too."""
        return self.run(self._in_shape(images), outputs=("score",))["score"]

    def decision_function(self, images: Images) -> np.ndarray:
        """The score minus the threshold, float32 [N]: above 0 where `predict` gives 1."""
        return self.score_samples(images) - np.float32(self.scorer.threshold)

    def predict(self, images: Images) -> np.ndarray:
        """The decision by the threshold, int64 [N]: 1 for an anomaly, 0 for a normal image."""
        return (self.decision_function(images) > 0).astype(np.int64)

    def probability(self, images: Images) -> np.ndarray:
        """The probability of an anomaly where both are equally frequent, float32 [N]."""
        return self.run(self._in_shape(images), outputs=("probability",))["probability"]

    def explain(self, images: Images) -> Explanation:
        """Where each image looks anomalous, at the size of `image_shape`."""
        outputs = ("anomaly_map", "reconstruction", *(("mask",) if self.has_mask else ()))
        found = self.run(self._in_shape(images), outputs=outputs)
        maps, reconstruction = found["anomaly_map"], found["reconstruction"]
        if not self.has_mask:
            return Explanation(maps, reconstruction)
        regions = [find_regions(*pair) for pair in zip(maps, found["mask"], strict=True)]
        return Explanation(maps, reconstruction, found["mask"], regions)

    def export(self, path: str | os.PathLike[str], images: Images | None = None) -> None:
        """Writes the detector for other runtimes, if they give its scores and decisions.

        Args:
            path: a file `*.onnx` for ONNX Runtime, or a folder that gets `model.onnx` and
                `saved_model/1/`. An int8 model needs the run's images: `ganad export`.
            images: which images both must agree on (default: some that are made up).

        Raises:
            ArtefactError: if a format disagrees; nothing is written then.
        """
        # `export` imports this module, so it is imported when it is needed.
        write = importlib.import_module("ganad_tf.export.without_run").write
        write(self, Path(path), None if images is None else self._in_shape(images))

    def _in_shape(self, images: Images) -> np.ndarray | ImageView:
        """Images as `run` takes them."""
        if isinstance(images, np.ndarray | ImageView) and (
            images.dtype == np.uint8 and images.shape[1:] == self.image_shape and len(images)
        ):
            return images
        return prepare_images(images, self.image_shape, self.resize)

    def run(
        self,
        images: np.ndarray | ImageView,
        batch_size: int | None = None,
        outputs: tuple[str, ...] = ("score", "probability", "is_anomaly"),
    ) -> dict[str, np.ndarray]:
        """Runs the scoring graph in batches.

        Args:
            images: uint8 [N, h, w, C], N at least 1; of a view, one batch at a time is read.
            batch_size: images per pass; changes memory, not results (default: `batch_size_for`).
            outputs: which of the outputs of `graph` to keep.

        Raises:
            DataError: if the images are of another type or shape.
            ArtefactError: if `mask` is asked for, and the detector has no pixel threshold.
        """
        self._check(images)
        if "mask" in outputs and not self.has_mask:
            raise ArtefactError(
                "outputs: expected a detector with a pixel threshold for `mask` (train again, or "
                f"use `{command_name('recalibrate')} --run`). Received: one of an earlier version"
            )
        batch_size = batch_size or batch_size_for(self.measurer)
        parts = []
        for start in range(0, len(images), batch_size):
            result = self._compiled(np.asarray(images[start : start + batch_size]))
            parts.append({name: result[name].numpy() for name in outputs})
        return {name: np.concatenate([part[name] for part in parts]) for name in outputs}

    def _check(self, images: Any) -> None:
        shape, dtype = getattr(images, "shape", None), getattr(images, "dtype", None)
        if (
            dtype != np.uint8
            or shape is None
            or len(shape) != 4
            or shape[1:] != self.image_shape
            or not shape[0]
        ):
            expected = ", ".join(map(str, self.image_shape))
            raise DataError(
                f"images must be uint8 [N, {expected}] with N at least 1. "
                f"Received: {dtype} {list(shape) if shape is not None else type(images).__name__}"
            )

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the files of `ganad_tf.scoring.detector_files`, all or nothing.

        A pretrained encoder is saved, too, so that the run can be exported where the package with
        its weights is not installed.

        Args:
            folder: a new or empty folder, or that of another saved detector, which is replaced.
                A run folder is refused; its detector is in `detector/`.

        Raises:
            UsageError: if the folder holds anything else, which would be lost.
        """
        folder = Path(folder)
        files.check_replaceable(folder)
        with replace_dir(folder) as temporary:
            self.generator.save(temporary / files.GENERATOR)
            if self.measurer.encoder is not None:
                files.save_encoder(self.measurer.encoder, temporary)
            write_json(
                temporary / files.SCORER,
                {
                    **self.scorer.to_dict(),
                    "image_shape": list(self.image_shape),
                    "resize": self.resize,
                    "bit_depth": self.bit_depth,
                    "max_pixels": self.max_pixels,
                },
            )
            files.save_arrays(temporary / files.DISTANCES, self.measurer.distances.to_arrays())
            if self.image_ranges is not None:
                write_json(temporary / files.RANGES, self.image_ranges)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Detector":
        """Loads what `save` wrote. Keras files are read in safe mode, arrays without pickle.

        Args:
            folder: the detector's folder, or a run folder that has one named `detector`.

        Raises:
            ArtefactError: if a file is missing or damaged.
        """
        folder = Path(folder)
        if (folder / "detector").is_dir():
            folder = folder / "detector"
        if not folder.is_dir():
            raise ArtefactError(
                f"{folder}: expected the folder of a finished run. Received: no such folder"
            )
        values = read_json(folder / files.SCORER)
        # Runs of earlier versions do not have it.
        ranges = read_json(folder / files.RANGES) if (folder / files.RANGES).exists() else None
        try:
            shape = tuple(values.pop("image_shape"))
            # Format 1 called it `fit`, and left it out before images could be padded.
            resize = values.pop("resize", values.pop("fit", "stretch"))
            bit_depth = int(values.pop("bit_depth", 16))
            max_pixels = int(values.pop("max_pixels", MAX_PIXELS))
            scorer = Scorer.from_dict(values)
            with np.load(folder / files.DISTANCES, allow_pickle=False) as arrays:
                distances = FeatureDistances.from_arrays(arrays)
            generator = files.load_network(folder / files.GENERATOR)
            encoder = files.load_encoder(folder)
        except ArtefactError as error:
            raise ArtefactError(f"{folder}: {error}") from None
        except Exception as error:
            # Keras, zip and numpy readers raise a dozen types on damaged files.
            raise ArtefactError(
                f"{folder}: expected generator.keras, scorer.json and scorer.npz of a finished "
                f"run. Received: {type(error).__name__}: {error}"
            ) from error
        measurer = Measurer(generator, distances, encoder)
        needed = {component.name for component in scorer.components}
        files.check_encoder(folder, needed - set(measurer.components))
        return cls(measurer, scorer, shape, resize, bit_depth, max_pixels, ranges)


def batch_size_for(measurer: Measurer) -> int:
    """Images per pass that keep the memory for activations under a gigabyte."""
    return 256 if measurer.encoder is None else 32
