"""TensorFlow Serving: its configuration files and a client."""
