"""Denoisers: conditional predictors of the noise, or of the clear image, in x_t."""

from declouds.denoisers.conditional_unet import ConditionalUNet

__all__ = ["ConditionalUNet"]
