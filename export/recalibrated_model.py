"""An exported model that is recalibrated."""

import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
from scipy.special import expit

from ganad_tf.atomic_files import replace_file
from ganad_tf.calibration.map_peaks import MapPeaks
from ganad_tf.errors import ArtefactError

from .calibrated_graph import (
    RECALIBRATED,
    as_float32,
    map_branches,
    set_map_scales,
    set_metadata,
    set_pixel_threshold,
    set_probability,
    set_threshold,
    with_map_outputs,
)
from .recalibration import Before, Fitted
from .runtime import MULTIPLE, Scorer


class Model:
    """A model file; it stays as it is.

    Args:
        path: `model.onnx` or `model.int8.onnx`.
        max_pixels: image files of more pixels are refused (default: the limit in training).

    Raises:
        ScoringError: if it is no model of ours.
        ArtefactError: if its graph has another form than exported ones.
    """

    def __init__(self, path: Path, max_pixels: int | None = None):
        self.scorer = Scorer(path, max_pixels=max_pixels)
        self.image_shape, self.resize = self.scorer.image_shape, self.scorer.resize
        self.bit_depth, self.max_pixels = self.scorer.bit_depth, self.scorer.max_pixels
        content = path.read_bytes()
        self._model = onnx.load_from_string(content)
        self._branches = map_branches(self._model)
        self._mapper = self._open_mapper() if self._branches else self.scorer
        self.before = Before(
            hashlib.sha256(content).hexdigest(),
            self.scorer.threshold,
            _probability(self.scorer.metadata),
            self.scorer.pixel_threshold,
        )
        try:
            # Before thousands of images are read: can this graph be changed at all?
            set_threshold(_copy(self._model), 0.0)
            set_probability(_copy(self._model), 1.0, 0.0)
            set_pixel_threshold(_copy(self._model), 0.0)
        except ArtefactError as error:
            raise ArtefactError(f"{path}: {error}") from None

    def score(self, images: np.ndarray) -> np.ndarray:
        """Scores, float32 [N], bit by bit those that scoring files gives."""
        return self.scorer.score(_filled(images))["score"][: len(images)]

    def maps(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Tensor -> map before it is scaled, float32 [N, h, w]; the scaled one if the graph hides
        them."""
        found = self._mapper.score(_filled(images), outputs=self._joined())
        return {name: maps[: len(images)] for name, maps in found.items()}

    def peaks(self) -> MapPeaks:
        """What gathers these maps."""
        centred = {branch.source: branch.is_centred for branch in self._branches}
        return MapPeaks(centred, self._joined())

    def write(self, fitted: Fitted, output: Path, sample: np.ndarray) -> None:
        """Writes a copy with another calibration, after comparing the two on some images.

        Args:
            fitted: the new calibration.
            output: the new file.
            sample: uint8 [N, h, w, C].

        Raises:
            ArtefactError: if the copy gives other scores, or contradicts its metadata.
        """
        model = _copy(self._model)
        set_threshold(model, fitted.threshold.value)
        set_probability(model, fitted.slope, fitted.intercept)
        if fitted.map_scales:
            set_map_scales(model, [fitted.map_scales[branch.source] for branch in self._branches])
        marks = {}
        if fitted.pixel_threshold is not None:
            set_pixel_threshold(model, fitted.pixel_threshold.value)
            marks = {
                "pixel_threshold": as_float32(fitted.pixel_threshold.value),
                "normal_peaks": json.dumps(fitted.normal_peaks),
            }
        set_metadata(
            model,
            {
                **marks,
                "threshold": as_float32(fitted.threshold.value),
                "calibration": json.dumps({"slope": fitted.slope, "intercept": fitted.intercept}),
                "normal_scores": json.dumps(fitted.normal_scores),
                **({} if fitted.ranges is None else {"image_ranges": json.dumps(fitted.ranges)}),
                RECALIBRATED: json.dumps(fitted.record),
            },
        )
        with replace_file(output) as temporary:
            onnx.save(model, str(temporary))
            self._compare(temporary, fitted, _filled(sample))

    def _joined(self) -> list[str]:
        """The tensors that the anomaly map is the mean of."""
        return [branch.source for branch in self._branches] or ["anomaly_map"]

    def _open_mapper(self) -> Scorer:
        """A model that also returns the unscaled maps."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "maps.onnx"
            onnx.save(with_map_outputs(self._model, self._branches), str(path))
            return Scorer(path)

    def _compare(self, path: Path, fitted: Fitted, images: np.ndarray) -> None:
        pixel = fitted.pixel_threshold
        outputs = ["score", "probability", "is_anomaly"]
        outputs += [] if pixel is None else ["anomaly_map", "mask"]
        before, now = self.scorer.score(images), Scorer(path).score(images, outputs=outputs)
        scores = now["score"]
        probability = expit(fitted.slope * scores.astype(np.float64) + fitted.intercept)
        if not (
            np.array_equal(scores, before["score"])
            and np.array_equal(now["is_anomaly"], scores > np.float32(fitted.threshold.value))
            and np.allclose(now["probability"], probability, atol=1e-4)
            and (pixel is None or _agree(now, np.float32(pixel.value)))
        ):
            raise ArtefactError(
                "expected a copy of the same scores, whose decisions and probabilities follow from "
                "its metadata. Received: one that does not; nothing is written"
            )


def _agree(found: dict[str, np.ndarray], pixel_threshold: np.float32) -> bool:
    """Whether a mask is what the anomaly map and the pixel threshold say."""
    return np.array_equal(found["mask"], found["anomaly_map"] > pixel_threshold)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _filled(images: np.ndarray) -> np.ndarray:
    """Images up to a multiple of `MULTIPLE`, as scoring files fills its batches."""
    return np.concatenate([images, np.repeat(images[-1:], -len(images) % MULTIPLE, axis=0)])


def _probability(metadata: dict[str, str]) -> dict[str, float] | None:
    """Slope and intercept of a model; None if its metadata do not say them."""
    try:
        values = json.loads(metadata["calibration"])
        return {name: float(values[name]) for name in ("slope", "intercept")}
    except (KeyError, TypeError, ValueError):
        return None
