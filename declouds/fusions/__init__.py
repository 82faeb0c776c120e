"""Fusions: how much of the prior goes into each pixel and band."""
