"""Our scoring and training beside PyTorch on the same networks; see `benchmarks.peers.__main__`."""
