"""A stand-in for TensorFlow Serving, to try clients where its binary cannot be had.

It answers the real gRPC stubs of tensorflow-serving-api with the loaded SavedModel. No batching,
no versions, one model: not for production.
"""

import concurrent.futures
import threading
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


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers `Predict` and `GetModelMetadata` for model "ganad".

    Args:
        folder: a SavedModel.

    Attributes:
        refusals: gRPC status codes to answer the next requests with, in order.
        requests: how many `Predict` requests came.
        limit: after so many, the server drops dead.
    """

    def __init__(self, folder):
        self.folder, self.model = folder, tf.saved_model.load(str(folder))
        self.refusals, self.requests, self.limit, self.die = [], 0, float("inf"), None
        self.lock = threading.Lock()

    def Predict(self, request, context):
        with self.lock:
            self.requests += 1
            refusal = self.refusals.pop(0) if self.refusals else None
            dead = self.requests > self.limit
        if dead:
            threading.Thread(target=self.die, daemon=True).start()
            context.abort(grpc.StatusCode.UNAVAILABLE, "the server is going down")
        if refusal:
            context.abort(refusal, "as the test wishes")
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
def serve(folder: Path, threads: int = 8) -> Iterator[Service]:
    """Serves a SavedModel on a free port of this machine.

    Args:
        folder: the SavedModel.
        threads: requests answered at once.

    Yields:
        The running service; its `address` is HOST:PORT.
    """
    service = Service(folder)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(threads))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    service.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    service.die = lambda: server.stop(None)
    server.start()
    try:
        yield service
    finally:
        server.stop(None).wait()
