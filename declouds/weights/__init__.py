"""Files of trained weights: our own, and those of the official code."""
