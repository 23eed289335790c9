"""Ways to train a detector: one file each, with the settings beside the method that they build.
Nothing lists them; `dmaskrcnn.config.methods` finds them. A method wraps a detector and gives named
losses from a batch."""
