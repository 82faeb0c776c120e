"""Simulated imagery: land, and clouds of all kinds over it or over real images, as functions on arrays in [0, 1]."""
