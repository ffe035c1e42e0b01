"""No labelled anomaly: synthetic ones are made from the normal images.

    python examples/normal_images_only.py

The threshold promises at most 5 % of false alarms on new normal images.
"""

from sample_images import sample_images

import ganad_tf


def main() -> None:
    images, _, _ = sample_images(normal=240, defective=0)
    detector = ganad_tf.train(images, validation_fraction=0.25, max_false_alarms=0.05)

    images, labels, _ = sample_images(normal=200, defective=50, seed=1)
    decisions = detector.predict(images)
    print(f"threshold {detector.scorer.threshold:.3f}: {detector.scorer.explanation['threshold']}")
    print(f"new normal images called anomalies: {decisions[labels == 0].mean():.1%}")
    print(f"scratches found: {decisions[labels == 1].mean():.1%}")


if __name__ == "__main__":
    main()
