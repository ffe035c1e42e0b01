"""A stand-in for TensorFlow Serving, to try clients where its binary cannot be had.

It answers the real gRPC stubs of tensorflow-serving-api with the loaded SavedModel. No batching,
no versions, one model: not for production.
"""

import concurrent.futures
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import tensorflow as tf
from google.protobuf.any_pb2 import Any
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from .transports import MESSAGE_SIZES


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers `Predict` and `GetModelMetadata` for model "ganad".

    Args:
        folder: a SavedModel.
    """

    def __init__(self, folder):
        self.folder, self.model = folder, tf.saved_model.load(str(folder))

    def Predict(self, request, context):
        if request.model_spec.name != "ganad":
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found: {request.model_spec}")
        inputs = {name: tf.constant(tf.make_ndarray(t)) for name, t in request.inputs.items()}
        try:
            outputs = self.model.signatures[request.model_spec.signature_name](**inputs)
        except tf.errors.InvalidArgumentError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        answer = predict_pb2.PredictResponse()
        for name in request.output_filter or outputs:
            answer.outputs[name].CopyFrom(tf.make_tensor_proto(outputs[name]))
        return answer

    def GetModelMetadata(self, request, context):
        saved = saved_model_pb2.SavedModel.FromString((self.folder / "saved_model.pb").read_bytes())
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in saved.meta_graphs[0].signature_def.items():
            signatures.signature_def[name].CopyFrom(signature)
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        packed = Any()
        packed.Pack(signatures)
        answer.metadata["signature_def"].CopyFrom(packed)
        return answer


@contextmanager
def serve(folder: Path, threads: int = 8, kind: type[Service] = Service) -> Iterator[Service]:
    """Serves a SavedModel on a free port of this machine.

    Args:
        folder: the SavedModel.
        threads: requests answered at once.
        kind: the class of the service.

    Yields:
        The running service; its `address` is HOST:PORT.
    """
    service = kind(folder)
    pool = concurrent.futures.ThreadPoolExecutor(threads)
    server = grpc.server(pool, options=MESSAGE_SIZES)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    service.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield service
    finally:
        server.stop(None).wait()
