"""The detector as a SavedModel that TensorFlow Serving answers with at once."""

import io
import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from ganad_tf.atomic_files import write_json
from ganad_tf.scoring import Detector

from .encoded import decode
from .plain_path import plain_path

# As in serving/batching.config: the server pads a batch to one of these.
ALLOWED_BATCH_SIZES = (1, 8, 32, 128)
ARRAYS, ENCODED = "serve", "serve_encoded"

_LOGGER = logging.getLogger(__name__)


def write(detector: Detector, folder: Path, description: dict[str, Any], model_name: str) -> None:
    """Writes one version's folder.

    Signatures: `serve` (also `serving_default`) takes `images` uint8 [N, h, w, C];
    `serve_encoded` takes `encoded` string [N], the bytes of PNG or JPEG files of any size. Both
    answer with the outputs of `Detector.graph`, by name.

    Args:
        detector: what to export.
        folder: the version's folder; its name may hold any characters.
        description: written to `assets.extra/ganad.json`, where the threshold can be read.
        model_name: as in serving/models.config; it stands in the warm-up requests.
    """
    height, width, channels = detector.image_shape
    image_shape = (height, width, channels)
    archive = keras.export.ExportArchive()
    for network in detector.networks:
        archive.track(network)
    archive.add_endpoint(
        ARRAYS,
        detector.graph,
        [tf.TensorSpec((None, *image_shape), tf.uint8, name="images")],
    )
    archive.add_endpoint(
        ENCODED,
        lambda encoded: detector.graph(
            decode(encoded, image_shape, detector.resize, detector.bit_depth)
        ),
        [tf.TensorSpec((None,), tf.string, name="encoded")],
    )
    extra = folder / "assets.extra"
    extra.mkdir(parents=True, exist_ok=True)
    with plain_path(folder) as plain:
        archive.write_out(str(plain), verbose=False)
        _write_warm_up(plain / extra.name / "tf_serving_warmup_requests", image_shape, model_name)
    write_json(extra / "ganad.json", description)


def _write_warm_up(path: Path, image_shape: tuple[int, int, int], model_name: str) -> None:
    """One request per signature and allowed batch size, so that no user waits for the first."""
    try:
        from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2
    except ImportError:
        _LOGGER.warning(
            "no warm-up requests in the SavedModel: they need the extra `serving` "
            "(pip install ganad_tf[serving])"
        )
        return
    image = np.zeros(image_shape, np.uint8)
    png = png_bytes(image)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in ALLOWED_BATCH_SIZES:
            inputs = {
                ARRAYS: {"images": tf.make_tensor_proto(np.stack([image] * size))},
                ENCODED: {"encoded": tf.make_tensor_proto([png] * size, tf.string)},
            }
            for signature, tensors in inputs.items():
                request = predict_pb2.PredictRequest(
                    model_spec=model_pb2.ModelSpec(name=model_name, signature_name=signature),
                    inputs=tensors,
                )
                log = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(request=request)
                )
                writer.write(log.SerializeToString())


def png_bytes(image: np.ndarray) -> bytes:
    """An image [h, w, C] as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
    return file.getvalue()
