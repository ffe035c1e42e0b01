"""Fashion-MNIST: where it comes from, and the protocols that split it."""
