"""Denoisers: conditional predictors of the noise, or of the clear image, in x_t."""

from declouds.denoisers.conditional_unet import ConditionalUNet
from declouds.denoisers.timm_unet import TimmUNet

__all__ = ["ConditionalUNet", "TimmUNet"]
