"""Scores images through TensorFlow Serving.

    python examples/serve_and_call.py exported/saved_model/1
    python examples/serve_and_call.py exported/saved_model/1 --server 127.0.0.1:8500

Without --server it starts a stand-in for TensorFlow Serving on this machine, for trying out only.
It needs the extra `serving`: pip install 'ganad_tf[serving]'.
"""

import argparse
import contextlib
import io
from pathlib import Path

import numpy as np
from ganad_tf.export.serving.client import Client
from ganad_tf.export.serving.stand_in import serve
from PIL import Image
from sample_images import sample_images


def png(image: np.ndarray) -> bytes:
    """The image as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("saved_model", type=Path)
    parser.add_argument("--server", help="HOST:PORT of a running TensorFlow Serving")
    flags = parser.parse_args()
    with contextlib.ExitStack() as stack:
        address = flags.server or stack.enter_context(serve(flags.saved_model)).address
        client = stack.enter_context(contextlib.closing(Client(address)))
        print(f"{address} takes images of {client.image_shape()}")
        images, labels, _ = sample_images(normal=3, defective=3, seed=1)
        # Files of any size are decoded by the server; arrays must have the shape above.
        results = client.score([png(image) for image in images])
    for label, score, decision in zip(labels, results["score"], results["is_anomaly"], strict=True):
        said = "anomaly" if decision else "normal"
        print(f"{'scratched' if label else 'normal':9}: {said}, score {score:.3f}")


if __name__ == "__main__":
    main()
