"""Training: the model, its optimizers, and what watches over a run."""
