"""Thin, thick or both kinds of cloud over a clear image."""

from collections.abc import Sequence

import numpy as np

from declouds.errors import UserError
from declouds.simulation.thick_cloud import add_thick_cloud
from declouds.simulation.thin_cloud import WAVELENGTHS, add_thin_cloud

CLOUDS = ("thin", "thick", "mixed")


def add_clouds(
    clear: np.ndarray, rng: np.random.Generator, cloud: str = "mixed", wavelengths: Sequence[float] = WAVELENGTHS
) -> tuple[np.ndarray, np.ndarray]:
    """Add random clouds: 'thin', 'thick', or 'mixed', which is thin, thick or thin above thick in equal parts.

    Returns the cloudy image and the cloud mask; shadows are not in the mask.

    Shapes: (C, H, W) -> (C, H, W) and bool (H, W); ``wavelengths`` (C,), in micrometres.
    Units: [0, 1].

    Raises:
        UserError: no such kind of cloud, or not one wavelength for each band.
    """
    if cloud not in CLOUDS:
        raise UserError(f"cloud={cloud!r}: known are {', '.join(CLOUDS)}")
    if len(wavelengths) < len(clear):
        raise UserError(f"the image has {len(clear)} bands: give the wavelength of each, not {len(wavelengths)}")
    layers = {"thin": ["thin"], "thick": ["thick"]}.get(cloud)
    if layers is None:
        layers = (["thin"], ["thick"], ["thick", "thin"])[int(rng.integers(0, 3))]
    cloudy, mask = clear, np.zeros(clear.shape[1:], dtype=bool)
    if "thick" in layers:
        cloudy, mask, *_ = add_thick_cloud(cloudy, rng, wavelengths)
    if "thin" in layers:
        cloudy, thin = add_thin_cloud(cloudy, rng, wavelengths)
        mask = mask | thin
    return cloudy, mask
