"""Scores files where only numpy, ONNX Runtime and Pillow are installed.

    cp export/runtime.py exported/model.onnx examples/deploy_with_onnx_runtime.py SOMEWHERE/
    cd SOMEWHERE && python deploy_with_onnx_runtime.py model.onnx FOLDER

runtime.py is one file without other requirements; `ganad score` runs the same code. This prints
where an installation has it:

    python -c "import ganad_tf.export.runtime as runtime; print(runtime.__file__)"
"""

import sys

from runtime import Scorer, find_images


def main() -> None:
    model, folder = sys.argv[1:]
    scorer = Scorer(model)
    print(f"images are brought to {scorer.image_shape}, the threshold is {scorer.threshold:.3f}")
    problems: list[dict] = []
    for record in scorer.score_files(find_images([folder], problems)):
        if "error" in record:
            problems.append(record)
        else:
            print(f"{record['path']}: {'anomaly' if record['is_anomaly'] else 'normal'}")
    for record in problems:
        print(f"{record['path']}: {record['error']}", file=sys.stderr)


if __name__ == "__main__":
    main()
