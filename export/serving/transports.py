"""How requests travel to TensorFlow Serving: gRPC or REST."""

import base64
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ganad_tf.errors import GanadError, UsageError

from ..runtime import describe

OUTPUTS = ("score", "probability", "is_anomaly")
# What regions are found in.
MAPS = ("anomaly_map", "mask")
TYPES = {
    "score": np.float32,
    "probability": np.float32,
    "is_anomaly": bool,
    "anomaly_map": np.float32,
    "mask": bool,
}
MAX_MESSAGE_BYTES = 256 * 2**20
# gRPC's own limit is 4 MiB, less than 32 colour images of 224 pixels.
MESSAGE_SIZES = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)


class ServingError(GanadError):
    """The server refused a request or did not answer; the message says which and why."""


class Unavailable(Exception):
    """A failure that another attempt may not meet."""


@contextmanager
def _reading(server: str, answer: Any) -> Iterator[None]:
    """Turns an answer that lacks something, as of another kind of model, into a clear error."""
    try:
        yield
    except (KeyError, TypeError, ValueError):
        raise ServingError(
            f"{server}: expected an answer about a model of `ganad export`. "
            f"Received: {answer!s:.200}"
        ) from None


class Grpc:
    """The gRPC interface.

    Args:
        client: the `Client` whose server, model, label and timeout count.

    Raises:
        UsageError: if tensorflow-serving-api is not installed.
    """

    def __init__(self, client):
        try:
            import grpc
            from tensorflow_serving.apis import prediction_service_pb2_grpc
        except ImportError as error:
            raise UsageError(
                "gRPC needs the extra `serving` (pip install ganad_tf[serving]), or use --rest. "
                f"Received: {error}"
            ) from None
        self.client = client
        options = [
            *MESSAGE_SIZES,
            # Or attempts would fail at once while the channel itself still waits to reconnect.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        self.channel = grpc.insecure_channel(client.server, options)
        self.stub = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        codes = grpc.StatusCode
        self.error, self.passing = (
            grpc.RpcError,
            {codes.UNAVAILABLE, codes.RESOURCE_EXHAUSTED, codes.DEADLINE_EXCEEDED, codes.ABORTED},
        )

    def predict(self, images: Any, outputs: Sequence[str] = OUTPUTS) -> dict[str, np.ndarray]:
        """One request for some outputs; arrays and file bytes go to different signatures."""
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        arrays = isinstance(images, np.ndarray) and images.dtype == np.uint8
        request = predict_pb2.PredictRequest(
            # Maps and reconstructions are thousands of times as long as the scores.
            output_filter=outputs,
        )
        self._address(request.model_spec, "serve" if arrays else "serve_encoded")
        name = "images" if arrays else "encoded"
        tensor = tf.make_tensor_proto(images if arrays else list(images))
        request.inputs[name].CopyFrom(tensor)
        answer = self._call(self.stub.Predict, request)
        return {name: tf.make_ndarray(value) for name, value in answer.outputs.items()}

    def signature(self) -> tuple[tuple[int, int, int], set[str]]:
        """(h, w, C) and the names of the outputs, from the signature that the server reports."""
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._address(request.model_spec)
        answer = self._call(self.stub.GetModelMetadata, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(signatures)
        names = f"signatures {', '.join(sorted(signatures.signature_def))}"
        with _reading(self.client.server, names):
            signature = signatures.signature_def["serve"]
            sizes = signature.inputs["images"].tensor_shape.dim[1:]
            height, width, channels = (size.size for size in sizes)
        return (height, width, channels), set(signature.outputs)

    def close(self) -> None:
        """Closes the channel."""
        self.channel.close()

    def _address(self, model_spec: Any, signature: str = "") -> None:
        model_spec.name, model_spec.signature_name = self.client.model, signature
        if self.client.label:
            model_spec.version_label = self.client.label

    def _call(self, method, request):
        try:
            return method(request, timeout=self.client.timeout)
        except self.error as error:
            text = f"{error.code().name}: {error.details()}"
            # A message that is too large has the code of a busy server, but stays too large.
            if error.code() in self.passing and "larger than max" not in text:
                raise Unavailable(text) from None
            raise ServingError(
                f"{self.client.server}: expected model {self.client.model!r} to answer. "
                f"Received: {text}"
            ) from None


class Rest:
    """The REST interface: JSON, no other library needed; the answers hold all outputs."""

    def __init__(self, client):
        model = urllib.parse.quote(client.model, safe="")
        label = f"/labels/{urllib.parse.quote(client.label, safe='')}" if client.label else ""
        self.client = client
        self.address = f"http://{client.server}/v1/models/{model}{label}"

    def predict(self, images: Any, outputs: Sequence[str] = OUTPUTS) -> dict[str, np.ndarray]:
        """As `Grpc.predict`."""
        if isinstance(images, np.ndarray) and images.dtype == np.uint8:
            body = {"signature_name": "serve", "inputs": {"images": images.tolist()}}
        else:
            files = [{"b64": base64.b64encode(file).decode("ascii")} for file in images]
            body = {"signature_name": "serve_encoded", "inputs": {"encoded": files}}
        answer = self._call(self.address + ":predict", json.dumps(body).encode())
        with _reading(self.client.server, answer):
            found = answer["outputs"]
            return {name: np.asarray(found[name], TYPES[name]) for name in outputs if name in found}

    def signature(self) -> tuple[tuple[int, int, int], set[str]]:
        """As `Grpc.signature`."""
        answer = self._call(self.address + "/metadata")
        with _reading(self.client.server, answer):
            signature = answer["metadata"]["signature_def"]["signature_def"]["serve"]
            sizes = signature["inputs"]["images"]["tensor_shape"]["dim"]
            height, width, channels = (int(size["size"]) for size in sizes[1:])
            return (height, width, channels), set(signature.get("outputs", ()))

    def close(self) -> None:
        """Nothing: each request has its own connection."""

    def _call(self, address: str, body: bytes | None = None) -> dict:
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=self.client.timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = f"HTTP {error.code}: {error.read(500).decode('utf-8', 'replace')}"
            if error.code in (429, 502, 503, 504):
                raise Unavailable(text) from None
            raise ServingError(
                f"{address}: expected model {self.client.model!r} to answer. Received: {text}"
            ) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            # Refused, cut off, timed out, half an answer, or no HTTP.
            raise Unavailable(describe(error)) from None
