"""Losses: (output, target) -> scalar."""

from declouds.losses.charbonnier import Charbonnier
from declouds.losses.edge import Edge
from declouds.losses.l1 import L1

__all__ = ["L1", "Charbonnier", "Edge"]
