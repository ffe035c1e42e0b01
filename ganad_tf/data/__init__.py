"""Where images come from, which are normal, which are labelled, how batches are made."""
