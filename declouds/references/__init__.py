"""References: one-pass networks (or pictures) that give the prior of an image."""

from declouds.references.amgan_cr import AMGANCR
from declouds.references.cvae import CVAE
from declouds.references.gain_offset_unet import GainOffsetUNet
from declouds.references.identity import Identity
from declouds.references.memory_net import MemoryNet
from declouds.references.mpr_net import MPRNet
from declouds.references.msda import MSDA
from declouds.references.naf_net import NAFNet
from declouds.references.precomputed import Precomputed
from declouds.references.spa_gan import SpAGAN
from declouds.references.timm_unet import TimmUNet

__all__ = [
    "AMGANCR",
    "CVAE",
    "MSDA",
    "GainOffsetUNet",
    "Identity",
    "MPRNet",
    "MemoryNet",
    "NAFNet",
    "Precomputed",
    "SpAGAN",
    "TimmUNet",
]
