"""How bright clouds are in each band."""

from collections.abc import Sequence

import numpy as np

from declouds.wavelengths import ABSORBED

# Optical depth of all water vapour, down and up again, in the bands that are `ABSORBED`; thermal light is not its own.
VAPOUR = tuple(zip(ABSORBED, (2.0, 10.0, 10.0, 0.0), strict=True))
VAPOUR_SCALE = 2.0  # kilometres in which vapour falls to 1 / e


def cloud_reflectance(wavelengths: Sequence[float], ice: float, height: float = 0.5) -> np.ndarray:
    """Return how bright a thick cloud is in each band, relative to the visible ones.

    Clouds are white up to 1.3 micrometres; above, water and above all ice absorb, by which droplet sizes are measured
    (Nakajima and King 1990, J. Atmos. Sci. 47, 1878), and which makes clouds cyan where a short-wave infrared band is
    shown as red. Piecewise linear, at 1.6 and 2.2 micrometres 0.85 and 0.7 for droplets, 0.4 and 0.3 for ice. The water
    vapour above a cloud darkens it in bands made to see that vapour and cirrus, in which low clouds are not seen at all
    (Gao et al. 1993, Geophys. Res. Lett. 20, 301).

    Args:
        wavelengths: of the bands, in micrometres.
        ice: 0 for water droplets, 1 for ice, or between.
        height: of the top of the cloud, in kilometres.

    Shapes: (C,) -> (C,) float32 in (0, 1].
    """
    knots = (1.3, 1.6, 2.2)
    water, frozen = (np.interp(wavelengths, knots, values) for values in ((1, 0.85, 0.7), (1, 0.4, 0.3)))
    depths = [sum(depth for (low, high), depth in VAPOUR if low <= band <= high) for band in wavelengths]
    seen = np.exp(-np.array(depths) * np.exp(-height / VAPOUR_SCALE))
    return (((1 - ice) * water + ice * frozen) * seen).astype(np.float32)
