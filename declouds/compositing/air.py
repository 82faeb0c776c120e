"""How much of the difference of two dates haze and shadow explain, and what is left for the ground itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from declouds.wavelengths import SENTINEL2, sees_ground

HAZE = (2.5, 0.0)  # exponents of -wavelength: light scattered by clear and hazy air, and by droplets and ice
ROUNDS = 5  # of reweighting
FINEST = 0.005  # of the ground's brightness: smaller residuals weigh no more
DARKEST = 0.2  # of the bands' median brightness, at which that of a band is put at least
CIRRUS_DARK = 0.1  # of the blue band: clear ground at 1.375 micrometres, below which it is that band


@dataclass(frozen=True)
class Air:
    """What air does to each band of an image.

    Args:
        wavelengths: of the bands, in micrometres; None where unknown.
        black: values without light.

    Shapes: (C,) each.
    Units: of ``black`` those of the images.
    """

    wavelengths: Sequence[float | None]
    black: np.ndarray

    def of(self, clear: np.ndarray) -> "Air":
        """Return the air of an image whose bands have no names: 13 of Sentinel-2 are known by the cirrus band.

        Over clear ground that one is next to black. The order is that of level 1C: B1 to B8, B8A, B9 to B12.

        Shapes: clear (C, n), clear pixels.
        """
        if len(clear) != len(SENTINEL2) or any(self.wavelengths):
            return self
        light = np.median(clear, 1) - self.black
        blue, cirrus = (light[list(SENTINEL2).index(name)] for name in ("b02", "b10"))
        if cirrus > CIRRUS_DARK * blue:
            return self
        return Air(list(SENTINEL2.values()), self.black)

    def unexplained(self, difference: np.ndarray, ground: np.ndarray) -> np.ndarray:
        """Return the part of a difference that haze and shadow do not explain; 0 if a wavelength is not known.

        At each place the difference target - date is fitted as

            sum_k haze_k wavelength^-HAZE_k - shadow (ground - black),  haze_k >= 0, shadow >= 0:

        haze adds light, the more the shorter the wavelength, and shadow takes a share of the ground's. The fit is that
        of least absolute deviations relative to the band's ground, by reweighted non-negative least squares, so that
        bands in which the ground has changed do not bend it. What is left, the median over the places of the residuals,
        is change of the ground. Bands that see none (`sees_ground`) do not count, and theirs is 0.

        Args:
            difference: of the target from the date at each place.
            ground: the date there.

        Shapes: (n, C), (n, C) -> (C,).
        """
        known = [wavelength for wavelength in self.wavelengths if wavelength is not None]
        if len(known) < len(self.wavelengths):
            return np.zeros(len(self.wavelengths))
        seen = [place for place, wavelength in enumerate(known) if sees_ground(wavelength)]
        difference, light = difference[:, seen], np.maximum(ground - self.black, 0)[:, seen]
        level = float(np.median(light)) + 1e-12
        scale = np.maximum(np.median(light, 0), DARKEST * level)
        haze = [level * (np.array(known)[seen] / 0.55) ** -exponent for exponent in HAZE]
        left = [_left(np.stack([*haze, -lit], 1), change, scale) for change, lit in zip(difference, light, strict=True)]
        found = np.zeros(len(known))
        found[seen] = np.median(left, 0)
        return found


def _left(causes: np.ndarray, change: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return what non-negative amounts of causes leave of a change. Shapes: (C, K), (C,), (C,) -> (C,)."""
    from scipy.optimize import nnls

    weight = 1 / scale
    for _ in range(ROUNDS):
        amounts, _ = nnls(causes * weight[:, None], change * weight)
        left = change - causes @ amounts
        weight = np.maximum(np.abs(left) / scale, FINEST) ** -0.5 / scale
    return left
