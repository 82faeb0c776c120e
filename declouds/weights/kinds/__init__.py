"""The kinds of official weight files that can be imported, one a file."""

from declouds.weights.kinds.amgan_cr import AMGAN_CR
from declouds.weights.kinds.cvae import CVAE
from declouds.weights.kinds.de import DE
from declouds.weights.kinds.kind import Kind, Shapes
from declouds.weights.kinds.memory_net import MEMORY_NET
from declouds.weights.kinds.mpr_net import MPR_NET
from declouds.weights.kinds.msda import MSDA
from declouds.weights.kinds.spa_gan import SPA_GAN

__all__ = ["KINDS", "Kind", "Shapes"]

KINDS = {
    "amgan_cr": AMGAN_CR,
    "cvae": CVAE,
    "mpr_net": MPR_NET,
    "msda": MSDA,
    "de": DE,
    "spa_gan": SPA_GAN,
    "memory_net": MEMORY_NET,
}
