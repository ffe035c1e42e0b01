"""Fashion-MNIST: loading it from any source, and the protocols that split it."""
