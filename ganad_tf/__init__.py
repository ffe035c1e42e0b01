"""A dual-discriminator GAN for anomaly detection when anomalies are few."""

__version__ = "0.1.0"
