"""Thin clouds and haze: a veil that scatters, stronger at short wavelengths, with the ground showing through."""

from collections.abc import Sequence

import numpy as np

from declouds.simulation.noise import fractal_noise

WAVELENGTHS = (0.665, 0.560, 0.490, 0.842)  # micrometres: red, green, blue, near infrared
REFERENCE_WAVELENGTH = 0.55
FAINTEST = 0.004  # a veil that hides less than this is none: about one step of 255


def veil(
    clear: np.ndarray,
    thickness: np.ndarray,
    wavelengths: Sequence[float],
    exponent: float,
    airlight: Sequence[float] | np.ndarray,
) -> np.ndarray:
    """Draw a veil over an image by the scattering model of haze.

    ``cloudy = clear * t + airlight * (1 - t)`` (Koschmieder's law; McCartney, Optics of the Atmosphere, 1976; the model
    behind haze removal since Narasimhan and Nayar 2002), with ``t = exp(-thickness * (wavelength / 0.55)^-exponent)``,
    Angstrom's law of 1929: small particles scatter short wavelengths more, blue most and near infrared least.

    Shapes: clear (C, H, W), thickness (H, W), wavelengths and airlight (C,) -> (C, H, W).
    Units: clear, airlight and the result in [0, 1]; thickness is the optical depth at 0.55 micrometres.
    """
    through = transmission(thickness, wavelengths, exponent)
    light = np.asarray(airlight, dtype=np.float32)[:, None, None]
    return clear * through + light * (1 - through)


def transmission(thickness: np.ndarray, wavelengths: Sequence[float], exponent: float | np.ndarray) -> np.ndarray:
    """Return the share of the ground's light that passes a veil, by Angstrom's law, see `veil`.

    Shapes: thickness (H, W), wavelengths (C,), exponent a number or (H, W) -> (C, H, W).
    Units: thickness is the optical depth at 0.55 micrometres; the result lies in [0, 1].
    """
    relative = (np.asarray(wavelengths, dtype=np.float32) / np.float32(REFERENCE_WAVELENGTH))[:, None, None]
    return np.exp(-thickness * relative ** np.asarray(-exponent, dtype=np.float32))


def add_thin_cloud(
    clear: np.ndarray, rng: np.random.Generator, wavelengths: Sequence[float] = WAVELENGTHS
) -> tuple[np.ndarray, np.ndarray]:
    """Add a random thin cloud: a veil, broken haze or streaks of cirrus. Return the cloudy image and the cloud mask.

    Where the mask is False the image is unchanged.

    Shapes: (C, H, W) -> (C, H, W) and bool (H, W).
    Units: [0, 1].
    """
    bands, height, width = clear.shape
    thickness = _thickness(rng, height, width)
    mask = 1 - np.exp(-thickness) > FAINTEST
    brightness = rng.uniform(0.72, 0.95)
    tint = rng.uniform(-0.02, 0.04)  # more blue than red: the sky's own light on the cloud
    colour = brightness - tint * (np.asarray(wavelengths[:bands]) - REFERENCE_WAVELENGTH) / 0.1
    hazy = veil(clear, thickness, wavelengths[:bands], rng.uniform(0.2, 1.4), np.clip(colour, 0, 1))
    return np.where(mask, hazy, clear), mask


def _thickness(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a random optical depth (H, W), exactly 0 outside the cloud where it is broken."""
    kind = rng.choice(["veil", "haze", "cirrus"], p=[0.35, 0.35, 0.3])
    if kind == "veil":
        noise = fractal_noise(rng, height, width, slope=4.4, scale=120)
        return rng.uniform(0.4, 1.2) * np.exp(0.3 * noise)
    if kind == "haze":
        noise = fractal_noise(rng, height, width, slope=4.4, scale=70)
        fine = fractal_noise(rng, height, width, slope=3.2, scale=24)
        wet = np.maximum(noise + 0.12 * fine + rng.uniform(0.1, 0.9), 0)
        return rng.uniform(0.35, 0.75) * wet ** np.float32(1.3)
    angle = rng.uniform(0, np.pi)
    streaks = fractal_noise(rng, height, width, slope=3.2, scale=60, stretch=rng.uniform(2.5, 5), angle=angle)
    body = fractal_noise(rng, height, width, slope=5, scale=60, stretch=1.5, angle=angle)
    wet = np.maximum(body + 0.3 * streaks + rng.uniform(0.0, 0.6), 0)
    return rng.uniform(0.3, 0.7) * wet ** np.float32(1.4)
