"""A fleet from a seed: the same inventory through the real intake, for small ones, and by bulk, for large ones."""
