"""Images, labels and masks: loading, splitting into parts, and making batches."""
