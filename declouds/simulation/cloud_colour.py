"""How bright clouds are in each band."""

from collections.abc import Sequence

import numpy as np


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
