"""The training loop and what belongs to it: data, checkpoints, the log, progress, curves."""
