"""Fusions: the weight of the prior, per pixel and band."""
