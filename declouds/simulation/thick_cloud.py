"""Thick clouds: opaque, lit from one side, with a shadow that lies beside them on the ground."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from declouds.simulation.noise import fractal_noise
from declouds.simulation.thin_cloud import REFERENCE_WAVELENGTH, WAVELENGTHS

FAINTEST = 0.004  # an opacity below this is none: about one step of 255


def cover(
    clear: np.ndarray,
    opacity: np.ndarray,
    brightness: np.ndarray,
    shade: np.ndarray,
    wavelengths: Sequence[float],
    skylight: float,
) -> np.ndarray:
    """Put clouds over an image and their shadow on its ground.

    ``cloudy = ground * (1 - opacity) + brightness * opacity`` with ``ground = clear * (1 - shade * (1 - sky))``: in the
    full shadow only the light of the sky is left, ``sky = skylight * (wavelength / 0.55)^-1.5``, which is blue (less
    steep than a clear sky's, since clouds light the shadow too). Alpha blending with a displaced shadow, as in
    SatelliteCloudGenerator (Czerkawski et al. 2023, Remote Sensing 15(17), 4138).

    Shapes: clear (C, H, W), opacity, brightness and shade (H, W), wavelengths (C,) -> (C, H, W).
    Units: all in [0, 1].
    """
    relative = np.asarray(wavelengths, dtype=np.float32) / np.float32(REFERENCE_WAVELENGTH)
    sky = np.minimum(np.float32(skylight) * relative ** np.float32(-1.5), 1)[:, None, None]
    ground = clear * (1 - shade * (1 - sky))
    return ground * (1 - opacity) + brightness * opacity


def add_thick_cloud(
    clear: np.ndarray, rng: np.random.Generator, wavelengths: Sequence[float] = WAVELENGTHS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add random thick clouds. Return the cloudy image, the cloud mask and the shadow mask.

    Where both masks are False the image is unchanged.

    Shapes: (C, H, W) -> (C, H, W), bool (H, W), bool (H, W).
    Units: [0, 1].
    """
    bands, height, width = clear.shape
    reach = int(rng.integers(5, 23))  # pixels from a cloud to its shadow: its height over the ground, and the sun's
    sun = rng.uniform(0, 2 * np.pi)
    down, right = round(reach * math.sin(sun)), round(reach * math.cos(sun))
    # The canvas is larger than the image, so that clouds outside throw shadows into it.
    body = _cloud_body(rng, height + 2 * reach, width + 2 * reach)
    opacity, brightness = _look(body, rng, sun)
    here = np.s_[reach : reach + height, reach : reach + width]
    there = np.s_[reach - down : reach - down + height, reach - right : reach - right + width]
    shade = _cut_faint(ndimage.gaussian_filter(opacity, 1.0 + 0.05 * reach)[there])
    cloudy = cover(clear, opacity[here], brightness[here], shade, wavelengths[:bands], rng.uniform(0.3, 0.5))
    return cloudy, opacity[here] > 0, shade > 0


def _cloud_body(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return how far each pixel is inside a cloud; 0 and below is outside."""
    kind = rng.choice(["cumulus", "field", "deck"], p=[0.4, 0.35, 0.25])
    scale, threshold = {"cumulus": (20, 0.9), "field": (34, 0.5), "deck": (55, 0.1)}[kind]
    noise = fractal_noise(rng, height, width, slope=4.6, scale=scale * rng.uniform(0.8, 1.3))
    ragged = fractal_noise(rng, height, width, slope=3.3, scale=20)
    large = fractal_noise(rng, height, width, slope=4.5, scale=70)
    return noise + 0.2 * ragged + 0.5 * large - threshold - rng.uniform(-0.2, 0.4)


def _look(body: np.ndarray, rng: np.random.Generator, sun: float) -> tuple[np.ndarray, np.ndarray]:
    """Return opacity and brightness: edges fade out, tops are white, the side turned from the sun is grey."""
    softness = rng.uniform(0.5, 1.3)
    inside = np.clip(body / softness, 0, 1)
    opacity = _cut_faint(inside * inside * (3 - 2 * inside))
    billows = np.abs(
        fractal_noise(rng, body.shape[0], body.shape[1], slope=3.6, scale=14)
    )  # creases between rounded tops
    top = np.sqrt(np.maximum(body, 0)) + 0.15 * billows
    slope_down, slope_right = np.gradient(ndimage.gaussian_filter(top, 0.8))
    lit = slope_down * math.sin(sun) + slope_right * math.cos(sun)  # light comes from where the shadow does not fall
    brightness = rng.uniform(0.72, 0.85) + 0.12 * np.tanh(body) + 0.7 * np.clip(lit, -0.25, 0.15)
    return opacity, np.clip(brightness, 0, 1).astype(np.float32)


def _cut_faint(share: np.ndarray) -> np.ndarray:
    return np.where(share > FAINTEST, share, 0).astype(np.float32)
