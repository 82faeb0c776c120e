"""The kinds of official weight files that can be imported, one a file."""

from declouds.weights.kinds.de import DE
from declouds.weights.kinds.kind import Kind, Shapes
from declouds.weights.kinds.mpr_net import MPR_NET
from declouds.weights.kinds.msda import MSDA

__all__ = ["KINDS", "Kind", "Shapes"]

KINDS = {"mpr_net": MPR_NET, "msda": MSDA, "de": DE}
