"""Fusions: how much of the prior goes into each pixel and band."""

from declouds.fusions.fixed_weight import FixedWeight
from declouds.fusions.weight_allocation import WeightAllocation

__all__ = ["FixedWeight", "WeightAllocation"]
