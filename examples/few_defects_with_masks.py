"""A handful of labelled defects with masks: they are pasted into normal images while training.

    python examples/few_defects_with_masks.py

It writes scratches.png: new images, their anomaly maps, and where the scratches are.
"""

import numpy as np
from PIL import Image
from sample_images import sample_images
from sklearn.metrics import roc_auc_score

import ganad_tf


def main() -> None:
    images, labels, masks = sample_images(normal=120, defective=6)
    detector = ganad_tf.train(images, labels, masks)

    images, labels, masks = sample_images(normal=40, defective=40, seed=1)
    print(f"AUROC of 80 new images: {roc_auc_score(labels, detector.score_samples(images)):.3f}")

    defects = images[labels == 1][:6]
    heat = detector.explain(defects).anomaly_map  # 1 is rare on normal pixels
    shown = (np.clip(heat / 2, 0, 1), masks[labels == 1][:6])
    rows = [defects, *(grey[..., None] * np.full(3, 255) for grey in shown)]
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    Image.fromarray(sheet.astype(np.uint8)).save("scratches.png")
    print("written: scratches.png")


if __name__ == "__main__":
    main()
