"""What is fitted to the scores and maps of held-out images, in training and afterwards.

Without TensorFlow, so that an exported model can be recalibrated where it is not installed.
"""
