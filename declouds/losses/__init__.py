"""Losses: (output, target) -> scalar."""

from declouds.losses.charbonnier import Charbonnier
from declouds.losses.edge import Edge
from declouds.losses.kl import KL
from declouds.losses.l1 import L1
from declouds.losses.laplacian import Laplacian
from declouds.losses.least_squares_gan import LeastSquaresGAN
from declouds.losses.mse import MSE
from declouds.losses.perceptual import Perceptual
from declouds.losses.psnr import PSNR
from declouds.losses.smooth_l1 import SmoothL1
from declouds.losses.softplus_gan import SoftplusGAN
from declouds.losses.wasserstein_gan import WassersteinGAN

__all__ = [
    "KL",
    "L1",
    "MSE",
    "PSNR",
    "Charbonnier",
    "Edge",
    "Laplacian",
    "LeastSquaresGAN",
    "Perceptual",
    "SmoothL1",
    "SoftplusGAN",
    "WassersteinGAN",
]
