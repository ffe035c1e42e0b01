"""From a raw batch to training images: synthetic anomalies, transplanted defects, augmentation."""
