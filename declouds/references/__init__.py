"""References: one-pass networks (or pictures) that give the prior of an image."""

from declouds.references.gain_offset_unet import GainOffsetUNet
from declouds.references.identity import Identity
from declouds.references.mpr_net import MPRNet
from declouds.references.msda import MSDA
from declouds.references.precomputed import Precomputed

__all__ = ["MSDA", "GainOffsetUNet", "Identity", "MPRNet", "Precomputed"]
