"""Contract checks of parts and models, for the tests of this package and of plugins.

A part is checked from its config alone::

    from declouds.testing import check_denoiser

    def test_my_denoiser() -> None:
        check_denoiser(dict(type="MyDenoiser", base=8))

Use small networks: each is built and run a dozen times. Every check raises ``AssertionError`` with a message that says
what is wrong.
"""

from declouds.testing.data import check_datamodule
from declouds.testing.detectors import check_cloud_detector
from declouds.testing.diffusion import check_diffusion_loss, check_noise_schedule, check_sampler
from declouds.testing.losses import check_loss
from declouds.testing.models import check_model
from declouds.testing.networks import (
    NAMES,
    check_denoiser,
    check_discriminator,
    check_fusion,
    check_reference,
)
from declouds.testing.parts import check_description

__all__ = [
    "NAMES",
    "check_cloud_detector",
    "check_datamodule",
    "check_denoiser",
    "check_description",
    "check_diffusion_loss",
    "check_discriminator",
    "check_fusion",
    "check_loss",
    "check_model",
    "check_noise_schedule",
    "check_reference",
    "check_sampler",
]
