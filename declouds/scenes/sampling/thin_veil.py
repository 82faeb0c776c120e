"""A thin veil found in the bands that a model has cleared, and lifted from others of known wavelength."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from declouds.simulation.cloud_colour import cloud_reflectance
from declouds.simulation.haze import WHITE
from declouds.simulation.thin_cloud import REFERENCE_WAVELENGTH, transmission

AIRLIGHT = (
    sum(WHITE) / 2
)  # reflectance of sunlit haze that hides the ground: too bright errs towards lifting too little
EXPONENTS = (0.0, 2.0)  # Angstrom's, from the large particles of clouds to the small ones of smoke
LEAST = 0.4  # transmission at 0.55 micrometres below which the cleared bands are a guess
MISFIT = 0.3  # of the optical depth, by which it may miss those of the bands, as a root of the mean square
FAINT = 0.1  # optical depth below which misfit is that of this one, so that noise does not count
SHADOW = -0.05  # optical depth below which the model has brightened the pixel
SHARP, SMOOTH = 2, 32  # radii in pixels over which optical depth and exponent are taken as constant
MARGIN = SHARP + SMOOTH  # pixels around a window on which it depends


class Veil(NamedTuple):
    """Optical depth at 0.55 micrometres, Angstrom's exponent, and where the veil is thin and well known (bool).

    Shapes: (H, W) each.
    """

    thickness: np.ndarray
    exponent: np.ndarray
    thin: np.ndarray


def find_veil(
    cloudy: np.ndarray,
    cleared: np.ndarray,
    where: np.ndarray,
    wavelengths: Sequence[float],
    airlight: np.ndarray | None = None,
) -> Veil:
    """Find the veil that a model has removed.

    Koschmieder's law, ``cloudy = clear t + A (1 - t)``, gives ``t = (A - cloudy) / (A - clear)``: here the quotient of
    the means over 5 x 5 pixels. Optical depths ``-ln t`` of the bands follow Angstrom's law, ``wavelength^-exponent``:
    the exponent is the least-squares slope of their logarithms, of means over 65 x 65 pixels, and the depth at 0.55
    micrometres the least-squares factor, pixel by pixel. See `declouds.simulation.thin_cloud.veil` for the sources.

    Where the airlight is too bright, depths are too small, but the light that is taken away is nearly the same: in the
    limit it is subtracted alone. A regression of one image on the other would give the airlight too, but takes the
    veil's own texture for that of the ground.

    Args:
        cloudy: the image.
        cleared: what the model makes of it.
        where: the pixels that are known in both, outside of which nothing is looked at.
        wavelengths: of the bands, in micrometres.
        airlight: of the bands; 0.9 of white if not given.

    Shapes: cloudy and cleared (C, H, W), where (H, W) bool, wavelengths and airlight (C,).
    Units: reflectance; the veil is given within [0, 2] for its exponent, and 0 or more for its thickness.
    """
    light = np.full(len(cloudy), AIRLIGHT) if airlight is None else np.asarray(airlight, np.float64)
    over, under = (_sums(np.where(where, light[:, None, None] - image, 0), SHARP) for image in (cloudy, cleared))
    through = np.divide(over, under, out=np.ones_like(over), where=under > 1e-6)
    depths = -np.log(np.clip(through, LEAST / 8, 2))  # an opaque pixel has some depth far above the limit

    logarithms = np.log(np.asarray(wavelengths) / REFERENCE_WAVELENGTH)
    means = _sums(np.where(where, depths, 0), SMOOTH) / np.maximum(_sums(where[None].astype(float), SMOOTH), 1e-9)
    offsets = (logarithms.mean() - logarithms) / np.square(logarithms - logarithms.mean()).sum()
    exponent = np.clip(np.tensordot(offsets, np.log(np.maximum(means, 1e-3)), 1), *EXPONENTS)

    factors = np.exp(-logarithms[:, None, None] * exponent)
    thickness = (depths * factors).sum(0) / np.square(factors).sum(0)
    misfit = np.sqrt(np.square(depths - thickness * factors).mean(0))
    thin = where & (thickness >= SHADOW) & (thickness <= -np.log(LEAST))
    thin &= misfit <= MISFIT * np.maximum(thickness, FAINT)
    return Veil(np.maximum(thickness, 0), exponent, thin)


def lift_veil(
    cloudy: np.ndarray, veil: Veil, wavelengths: Sequence[float], airlight: np.ndarray | None = None
) -> np.ndarray:
    """Invert Koschmieder's law in bands of known wavelength: ``clear = (cloudy - A (1 - t)) / t``.

    What is not thin is not to be used. Nothing gets darker than 0, unless it was.

    Args:
        cloudy: bands of the image.
        veil: what lies over it.
        wavelengths: of these bands, in micrometres.
        airlight: of these bands; 0.9 of white if not given, less in the short-wave infrared (`cloud_reflectance`).

    Shapes: cloudy (C, H, W), wavelengths and airlight (C,) -> (C, H, W) float64.
    Units: reflectance.
    """
    light = AIRLIGHT * cloud_reflectance(wavelengths, ice=0) if airlight is None else np.asarray(airlight)
    through = transmission(veil.thickness, wavelengths, veil.exponent).astype(np.float64)
    clear = (cloudy - light[:, None, None] * (1 - through)) / through
    return np.maximum(clear, np.minimum(cloudy, 0))


def _sums(image: np.ndarray, radius: int) -> np.ndarray:
    """Return means over squares around each pixel, 0 outside of the image: their quotients are those of sums.

    Shapes: (C, H, W) -> (C, H, W).
    """
    from scipy.ndimage import uniform_filter

    return uniform_filter(image, (1, 2 * radius + 1, 2 * radius + 1), mode="constant")
