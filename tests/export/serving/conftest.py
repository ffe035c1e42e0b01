"""A stand-in for TensorFlow Serving: its real gRPC stubs, answered by the loaded SavedModel."""

import concurrent.futures
import http.server
import json
import threading

import grpc
import pytest
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


@pytest.fixture
def service(saved_model_path):
    """A running service; its `address` is HOST:PORT."""
    service = Service(saved_model_path)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    service.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    service.die = lambda: server.stop(None)
    server.start()
    yield service
    server.stop(None).wait()


@pytest.fixture
def rest_address(saved_model_path):
    """The REST interface's prediction and metadata answers, HOST:PORT."""
    service = Service(saved_model_path)
    signature = {"inputs": {"images": {"tensor_shape": {"dim": [{"size": "-1"}]}}}}
    sizes = [{"size": "28"}, {"size": "28"}, {"size": "1"}]
    signature["inputs"]["images"]["tensor_shape"]["dim"] += sizes

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer({"metadata": {"signature_def": {"signature_def": {"serve": signature}}}})

        def do_POST(self):
            if not self.path.startswith("/v1/models/ganad:"):
                self.answer({"error": "Servable not found"}, 404)
                return
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            images = tf.constant(body["inputs"]["images"], tf.uint8)
            outputs = service.model.signatures[body["signature_name"]](images=images)
            self.answer({"outputs": {n: v.numpy().tolist() for n, v in outputs.items()}})

        def answer(self, value, status=200):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
