"""The SavedModel: both signatures answer as Keras does, and warm-up requests are inside."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from export.saved_model import ALLOWED_BATCH_SIZES, png_bytes


@pytest.fixture(scope="module")
def loaded(saved_model_path):
    return tf.saved_model.load(str(saved_model_path))


def test_arrays_and_file_bytes_give_keras_scores(loaded, detector, images):
    expected = detector.run(images)
    files = [png_bytes(image) for image in images]
    answers = (
        loaded.signatures["serve"](images=tf.constant(images)),
        loaded.signatures["serving_default"](images=tf.constant(images)),
        loaded.signatures["serve_encoded"](encoded=tf.constant(files)),
    )
    for answer in answers:
        np.testing.assert_allclose(answer["score"], expected["score"], atol=1e-5)
        assert np.array_equal(answer["is_anomaly"], expected["is_anomaly"])


def test_outputs_are_named_and_typed(loaded, images):
    answer = loaded.signatures["serve"](images=tf.constant(images[:3]))
    assert {name: (value.dtype.name, value.shape) for name, value in answer.items()} == {
        "score": ("float32", (3,)),
        "probability": ("float32", (3,)),
        "is_anomaly": ("bool", (3,)),
        "anomaly_map": ("float32", (3, 28, 28)),
        "mask": ("bool", (3, 28, 28)),
        "reconstruction": ("uint8", (3, 28, 28, 1)),
    }


def test_every_signature_and_batch_size_is_warmed_up(loaded, saved_model_path):
    file = saved_model_path / "assets.extra" / "tf_serving_warmup_requests"
    seen = set()
    for record in tf.data.TFRecordDataset(str(file)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        (name, tensor), *_ = request.inputs.items()
        value = tf.make_ndarray(tensor)
        loaded.signatures[request.model_spec.signature_name](**{name: tf.constant(value)})
        seen.add((request.model_spec.signature_name, len(value)))
    signatures = ("serve", "serve_encoded")
    assert seen == {(s, size) for s in signatures for size in ALLOWED_BATCH_SIZES}
