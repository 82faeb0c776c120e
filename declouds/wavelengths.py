"""Bands by name, and the wavelengths at their centres."""

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
ABSORBED = ((0.92, 0.98), (1.34, 1.46), (1.8, 1.98), (2.5, np.inf))  # micrometres: water vapour, and thermal light
OTHER_WORDS = {"near infrared": 0.842, "swir16": 1.610, "swir22": 2.190, "aerosol": 0.443, "nir narrow": 0.865}
KNOWN = CENTRES | SENTINEL2 | OTHER_WORDS


def wavelength_of(name: str) -> float | None:
    """Return the wavelength at the centre of a band, in micrometres; None if the name is unknown. Case is ignored."""
    return KNOWN.get(name.strip().lower())


def sees_ground(wavelength: float) -> bool:
    """Tell whether sunlight of a wavelength, in micrometres, comes from the ground and not from the air or its heat."""
    return not any(low <= wavelength <= high for low, high in ABSORBED)


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
