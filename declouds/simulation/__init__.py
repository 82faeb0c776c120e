"""Simulated imagery: land, thin clouds and thick clouds with shadows, as functions on arrays in [0, 1]."""
