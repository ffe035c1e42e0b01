"""The stand-in server over gRPC, and a small one that speaks TensorFlow Serving's REST."""

import contextlib
import http.server
import json
import socketserver
import threading

import grpc
import pytest
import tensorflow as tf

from export.serving.stand_in import Service, serve


class FaultyService(Service):
    """Fails as it is told to.

    Attributes:
        refusals: gRPC status codes to answer the next requests with, in order.
        requests: how many `Predict` requests came.
        limit: after so many, the server drops dead.
        die: stops the server.
    """

    def __init__(self, folder):
        super().__init__(folder)
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
        return super().Predict(request, context)


@pytest.fixture
def service(saved_model_path):
    """A running service; its `address` is HOST:PORT."""
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(serve(saved_model_path, kind=FaultyService))
        service.die = stack.close
        yield service


@pytest.fixture
def raw_address():
    """A server that answers every request with the bytes given to it: (HOST:PORT, a list)."""
    answers: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.rfile.readline()
            self.wfile.write(answers[0])

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", answers
        server.shutdown()


@pytest.fixture
def rest_address(saved_model_path):
    """The REST interface's prediction and metadata answers, HOST:PORT."""
    service = Service(saved_model_path)
    outputs = service.model.signatures["serve"].structured_outputs
    signature = {
        "inputs": {"images": {"tensor_shape": {"dim": [{"size": "-1"}]}}},
        "outputs": {name: {} for name in outputs},
    }
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
