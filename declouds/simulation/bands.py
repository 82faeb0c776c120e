"""Bands by name and the wavelengths at their centres, which say how much of a cloud each band sees."""

from collections.abc import Sequence

import numpy as np

from declouds.errors import UserError, did_you_mean

# Micrometres: the words in use for bands, and the names of Sentinel-2's (ESA's user handbook, S2A). Landsat's B1 to B7
# are left out, since their numbers changed with Landsat 8.
CENTRES = {
    "coastal": 0.443,
    "blue": 0.490,
    "green": 0.560,
    "yellow": 0.605,
    "red": 0.665,
    "rededge1": 0.705,
    "rededge2": 0.740,
    "rededge3": 0.783,
    "nir": 0.842,
    "nir08": 0.865,
    "water_vapour": 0.945,
    "cirrus": 1.375,
    "swir1": 1.610,
    "swir2": 2.190,
}
SENTINEL2 = dict(
    zip(
        ("b01", "b02", "b03", "b04", "b05", "b06", "b07", "b08", "b8a", "b09", "b10", "b11", "b12"),
        (wavelength for name, wavelength in CENTRES.items() if name != "yellow"),
        strict=True,
    )
)
OTHER_WORDS = {"near infrared": 0.842, "swir16": 1.610, "swir22": 2.190, "aerosol": 0.443, "nir narrow": 0.865}
KNOWN = CENTRES | SENTINEL2 | OTHER_WORDS


def wavelength_of(name: str) -> float | None:
    """Return the wavelength at the centre of a band, in micrometres; None if the name is unknown. Case is ignored."""
    return KNOWN.get(name.strip().lower())


def wavelengths_of(names: Sequence[str]) -> tuple[float, ...]:
    """Return the wavelength at the centre of each band, in micrometres.

    Raises:
        UserError: a name is unknown; the message lists the known ones.
    """
    for name in names:
        if wavelength_of(name) is None:
            raise UserError(
                f"band {name!r} has no known wavelength: {did_you_mean(name, list(KNOWN))}give `wavelengths` in "
                f"micrometres, one per band, or one of the names {', '.join(KNOWN)}"
            )
    return tuple(KNOWN[name.strip().lower()] for name in names)


def cloud_reflectance(wavelengths: Sequence[float], ice: float) -> np.ndarray:
    """Return how bright a thick cloud is in each band, relative to the visible ones.

    Clouds are white up to 1.3 micrometres; above, water and above all ice absorb, by which droplet sizes are measured
    (Nakajima and King 1990, J. Atmos. Sci. 47, 1878), and which makes clouds cyan where a short-wave infrared band is
    shown as red. Piecewise linear, at 1.6 and 2.2 micrometres 0.85 and 0.7 for droplets, 0.4 and 0.3 for ice.

    Args:
        wavelengths: of the bands, in micrometres.
        ice: 0 for water droplets, 1 for ice, or between.

    Shapes: (C,) -> (C,) float32 in (0, 1].
    """
    knots = (1.3, 1.6, 2.2)
    water, frozen = (np.interp(wavelengths, knots, values) for values in ((1, 0.85, 0.7), (1, 0.4, 0.3)))
    return ((1 - ice) * water + ice * frozen).astype(np.float32)
