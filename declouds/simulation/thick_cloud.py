"""Thick clouds: opaque, lit from one side, with a shadow that lies beside them on the ground."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from declouds.simulation.cloud_colour import cloud_reflectance
from declouds.simulation.noise import fractal_noise
from declouds.simulation.thin_cloud import REFERENCE_WAVELENGTH, WAVELENGTHS

Body = Callable[[np.random.Generator, int, int], np.ndarray]  # how far inside a cloud
Look = Callable[[np.ndarray, np.random.Generator, float], tuple[np.ndarray, np.ndarray]]  # opacity and brightness
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

    Shapes: clear (C, H, W), shade (H, W), opacity and brightness (H, W) or (C, H, W), wavelengths (C,) -> (C, H, W).
    Units: all in [0, 1].
    """
    relative = np.asarray(wavelengths, dtype=np.float32) / np.float32(REFERENCE_WAVELENGTH)
    sky = np.minimum(np.float32(skylight) * relative ** np.float32(-1.5), 1)[:, None, None]
    ground = clear * (1 - shade * (1 - sky))
    return ground * (1 - opacity) + brightness * opacity


def random_body(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return the shape of random clouds: cumulus, a field of them or a deck.

    Shapes: (H, W): how far each pixel is inside a cloud, about 1 well inside; 0 and below is outside.
    """
    kind = rng.choice(["cumulus", "field", "deck"], p=[0.4, 0.35, 0.25])
    scale, threshold = {"cumulus": (20, 0.9), "field": (34, 0.5), "deck": (55, 0.1)}[kind]
    noise = fractal_noise(rng, height, width, slope=4.6, scale=scale * rng.uniform(0.8, 1.3))
    ragged = fractal_noise(rng, height, width, slope=3.3, scale=20)
    large = fractal_noise(rng, height, width, slope=4.5, scale=70)
    return noise + 0.2 * ragged + 0.5 * large - threshold - rng.uniform(-0.2, 0.4)


class ThickCloud(NamedTuple):
    """An image under thick clouds (C, H, W), the masks of clouds and shadows, and the opacity (H, W)."""

    cloudy: np.ndarray
    mask: np.ndarray
    shadow: np.ndarray
    opacity: np.ndarray


def billowed(body: np.ndarray, rng: np.random.Generator, sun: float) -> tuple[np.ndarray, np.ndarray]:
    """Return opacity and brightness: edges fade out, tops are white, the side turned from the sun is grey.

    Shapes: (H, W) -> (H, W), (H, W).
    Units: [0, 1]; ``sun`` is the direction of the shadows, in radians.
    """
    softness = rng.uniform(0.5, 1.3)
    inside = np.clip(body / softness, 0, 1)
    opacity = inside * inside * (3 - 2 * inside)
    billows = np.abs(
        fractal_noise(rng, body.shape[0], body.shape[1], slope=3.6, scale=14)
    )  # creases between rounded tops
    top = np.sqrt(np.maximum(body, 0)) + 0.15 * billows
    slope_down, slope_right = np.gradient(ndimage.gaussian_filter(top, 0.8))
    lit = slope_down * math.sin(sun) + slope_right * math.cos(sun)  # light comes from where the shadow does not fall
    brightness = rng.uniform(0.72, 0.85) + 0.12 * np.tanh(body) + 0.7 * np.clip(lit, -0.25, 0.15)
    return opacity, np.clip(brightness, 0, 1).astype(np.float32)


def add_thick_cloud(
    clear: np.ndarray,
    rng: np.random.Generator,
    wavelengths: Sequence[float] = WAVELENGTHS,
    body: Body = random_body,
    look: Look = billowed,
    reach: tuple[int, int] = (5, 22),
    colour: np.ndarray | None = None,
    skylight: tuple[float, float] = (0.3, 0.5),
    parallax: float = 0.0,
) -> ThickCloud:
    """Add thick clouds and their shadows. Where both masks are False the image is unchanged.

    A scanner sees each band at a time and angle of its own, and clouds move and lie high: where bands agree on the
    ground, they show clouds beside each other, by a pixel or two of Sentinel-2. The colours of their edges tell clouds
    from roofs, but a network that has only seen clouds without takes those with them for ground.

    Args:
        clear: the image.
        rng: where all that is random comes from.
        wavelengths: of the bands, in micrometres.
        body: the shape of the clouds: see `random_body`.
        look: their opacity and brightness: see `billowed`.
        reach: shortest and longest distance of a shadow from its cloud, in pixels.
        colour: how bright the clouds are in each band; that of droplets (`cloud_reflectance`) if not given.
        skylight: the least and the most of the light that is left in a shadow, see `cover`.
        parallax: pixels between the places of a cloud in the first and in the last band.

    Shapes: clear (C, H, W), colour (C,) -> (C, H, W), bool (H, W), bool (H, W), float32 (H, W).
    Units: [0, 1].
    """
    bands, height, width = clear.shape
    away = int(rng.integers(reach[0], reach[1] + 1))  # the cloud's height over the ground, and the sun's, decide it
    sun = rng.uniform(0, 2 * np.pi)
    down, right = round(away * math.sin(sun)), round(away * math.cos(sun))
    # The canvas is larger than the image, so that clouds outside throw shadows into it.
    opacity, light = look(body(rng, height + 2 * away, width + 2 * away), rng, sun)
    opacity = _cut_faint(opacity)
    here = np.s_[..., away : away + height, away : away + width]
    there = np.s_[away - down : away - down + height, away - right : away - right + width]
    shade = _cut_faint(ndimage.gaussian_filter(opacity, 1.0 + 0.05 * away)[there])
    colour = cloud_reflectance(wavelengths[:bands], ice=0) if colour is None else colour
    if parallax:
        apart = parallax * np.linspace(-0.5, 0.5, bands), rng.uniform(0, 2 * np.pi)
        opacity, light = _shifted(opacity, *apart), _shifted(light, *apart)
    brightness = light[here] * colour[:, None, None]
    cloudy = cover(clear, opacity[here], brightness, shade, wavelengths[:bands], rng.uniform(*skylight))
    most = opacity[here].max(axis=0) if parallax else opacity[here]
    return ThickCloud(cloudy, most > 0, shade > 0, most)


def _shifted(layer: np.ndarray, lengths: np.ndarray, angle: float) -> np.ndarray:
    """Return a layer moved by each of some lengths along an angle. Shapes: (H, W), (C,) -> (C, H, W)."""
    away = np.outer(lengths, (math.sin(angle), math.cos(angle)))
    return np.stack([ndimage.shift(layer, part, order=1, mode="nearest") for part in away])


def _cut_faint(share: np.ndarray) -> np.ndarray:
    return np.where(share > FAINTEST, share, 0).astype(np.float32)
