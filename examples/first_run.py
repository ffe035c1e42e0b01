"""A first run: sneakers of Fashion-MNIST are normal, the other nine classes are anomalies.

    python examples/first_run.py

It trains for about five minutes on two CPU cores. The run folder holds report.html.
"""

from pathlib import Path

from sklearn.metrics import roc_auc_score

import ganad_tf
from ganad_tf.commands import train

RUN = Path("runs/first")


def main() -> None:
    # As on the command line: ganad train --normal sneaker --output runs/first
    train.main(["--normal", "sneaker", "--output", str(RUN), "--overwrite"])

    detector = ganad_tf.Detector.load(RUN)
    test = ganad_tf.load_splits(ganad_tf.RunConfig(normal="sneaker")).test
    some = test.images[:1000]
    scores = detector.decision_function(some)  # above 0: an anomaly
    print(f"AUROC of 1,000 test images: {roc_auc_score(test.is_anomaly[:1000], scores):.4f}")
    print(f"{detector.predict(some).sum()} of them are called anomalies")


if __name__ == "__main__":
    main()
