"""Fusions: how much of the prior goes into each pixel and band."""

from declouds.fusions.disagreement_weight import DisagreementWeight
from declouds.fusions.fixed_weight import FixedWeight
from declouds.fusions.sigmoid_weight import SigmoidWeight
from declouds.fusions.time_weight import TimeWeight
from declouds.fusions.timm_unet import TimmUNet
from declouds.fusions.weight_allocation import WeightAllocation

__all__ = ["DisagreementWeight", "FixedWeight", "SigmoidWeight", "TimeWeight", "TimmUNet", "WeightAllocation"]
