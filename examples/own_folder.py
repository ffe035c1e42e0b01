"""Your own images: trains on a folder, scores new files, and exports.

    python examples/own_folder.py [FOLDER]

FOLDER holds normal/ and, if there are any, anomaly/. Without it, the script draws images of
brushed metal. It writes exported/model.onnx and exported/saved_model/.
"""

import sys
from pathlib import Path

from ganad_tf.export.runtime import Scorer, find_images
from PIL import Image
from sample_images import sample_images

import ganad_tf


def draw(folder: Path) -> Path:
    """Writes 120 normal and 20 scratched images as files."""
    for number, (image, label, _) in enumerate(zip(*sample_images(120, 20), strict=True)):
        path = folder / ("anomaly" if label else "normal") / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else draw(Path("metal"))
    detector = ganad_tf.train(folder)
    detector.save("detector")  # for Python: ganad_tf.Detector.load("detector")
    detector.export("exported")  # for ONNX Runtime and TensorFlow Serving
    print("written: detector/, exported/model.onnx, exported/saved_model/")

    # The exported model reads files as training did: it turns photos by their EXIF data, for one.
    files = sorted(path for path, _ in find_images([str(folder)], []))
    for record in Scorer("exported/model.onnx").score_files(files[:3]):
        print(record)  # path, score, probability, is_anomaly; or path and error


if __name__ == "__main__":
    main()
