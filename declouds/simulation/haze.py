"""Haze and thin clouds from faint to heavy, as they lie over real images: where they are, how thick and what colour."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from declouds.simulation.cloud_colour import cloud_reflectance
from declouds.simulation.noise import fractal_noise
from declouds.simulation.thin_cloud import FAINTEST, REFERENCE_WAVELENGTH, veil

GREY, WHITE = (0.45, 0.65), (0.8, 1.0)  # brightness of haze in shade or at dusk, and of sunlit haze
DENSEST = 3.0  # times the mean: no haze turns into a thick cloud inside


class Haze(NamedTuple):
    """An image under haze (C, H, W), the mask of haze (H, W), and its optical depth at 0.55 micrometres (H, W)."""

    cloudy: np.ndarray
    mask: np.ndarray
    thickness: np.ndarray


def uniform_veil(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a nearly uniform thickness, which varies slowly by some tenths. Shape (H, W), about 1 on average."""
    slow = fractal_noise(rng, height, width, slope=4.6, scale=150)
    return np.exp(np.float32(rng.uniform(0, 0.25)) * slow)


def broken_haze(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return patches of haze with gaps and fine detail. Shape (H, W), about 1 inside, 0 in the gaps."""
    zoom = np.exp(rng.uniform(np.log(0.4), np.log(2)))
    large = fractal_noise(rng, height, width, slope=4.2, scale=70 * zoom)
    fine = fractal_noise(rng, height, width, slope=3.0, scale=24 * zoom)
    return _above(large + np.float32(0.2) * fine, gaps=rng.uniform(0, 0.7)) ** np.float32(1.3)


def cirrus(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return streaks of cirrus. Shape (H, W), about 1 inside, 0 beside them."""
    zoom, angle = np.exp(rng.uniform(np.log(0.6), np.log(2))), rng.uniform(0, np.pi)
    stretch = rng.uniform(2.5, 6)
    streaks = fractal_noise(rng, height, width, slope=3.0, scale=50 * zoom, stretch=stretch, angle=angle)
    body = fractal_noise(rng, height, width, slope=4.8, scale=60 * zoom, stretch=1.5, angle=angle)
    return _above(body + np.float32(0.4) * streaks, gaps=rng.uniform(0, 0.7)) ** np.float32(1.4)


def _above(noise: np.ndarray, gaps: float) -> np.ndarray:
    """Return how far noise is above its own quantile, so that it is 0 in that share of the image."""
    return np.maximum(noise - np.quantile(noise, gaps), 0).astype(np.float32)


class Habit(NamedTuple):
    """What else a shape decides.

    ``share`` of the samples; ``exponents``, the range of Angstrom's: about 0 for the large particles of clouds and ice,
    up to 1.5 for the small ones of haze and smoke (Eck et al. 1999, J. Geophys. Res. 104, 31333); ``grey``, the share
    of grey samples; ``density``, a factor of the thickness; ``heights``, in kilometres.
    """

    share: float
    exponents: tuple[float, float]
    grey: float
    density: float
    heights: tuple[float, float]


HABITS = {
    uniform_veil: Habit(0.4, (0.0, 1.5), grey=0.5, density=1.0, heights=(0, 3)),
    broken_haze: Habit(0.35, (0.0, 1.5), grey=0.15, density=0.8, heights=(0, 3)),
    cirrus: Habit(0.25, (0.0, 0.3), grey=0.1, density=0.5, heights=(6, 12)),
}


def add_haze(
    clear: np.ndarray,
    rng: np.random.Generator,
    wavelengths: Sequence[float],
    thickness: tuple[float, float] = (0.1, 2.0),
    ice: float = 0.0,
) -> Haze:
    """Add a random thin cloud by Koschmieder's law, `veil`. Where the mask is False the image is unchanged.

    Args:
        clear: the image.
        rng: where all that is random comes from.
        wavelengths: of the bands, in micrometres.
        thickness: lowest and highest optical depth at 0.55 micrometres on average inside the cloud; the logarithm is
            drawn evenly, so that faint haze is as frequent as heavy. Broken haze is thinner by a fifth, cirrus by half.
        ice: see `cloud_reflectance`.

    Shapes: clear (C, H, W), wavelengths (C,) -> `Haze`.
    Units: [0, 1].
    """
    shape = list(HABITS)[int(rng.choice(len(HABITS), p=[habit.share for habit in HABITS.values()]))]
    habit, depth = HABITS[shape], shape(rng, *clear.shape[1:])
    depth = _with_mean(depth / (1 + _with_mean(depth) / DENSEST))
    depth = (depth * habit.density * np.exp(rng.uniform(*np.log(thickness)))).astype(np.float32)
    mask = 1 - np.exp(-depth) > FAINTEST
    height = rng.spawn(1)[0].uniform(*habit.heights)  # drawn apart: no other draw depends on it
    light = airlight(rng, wavelengths, habit.grey) * cloud_reflectance(wavelengths, ice, height)
    hazy = veil(clear, depth, wavelengths, rng.uniform(*habit.exponents), light)
    return Haze(np.where(mask, hazy, clear), mask, np.where(mask, depth, 0))


def _with_mean(pattern: np.ndarray) -> np.ndarray:
    """Scale a pattern so that its mean where it is above 0 is 1."""
    inside = pattern[pattern > 0]
    return pattern / inside.mean() if inside.size else pattern


def airlight(rng: np.random.Generator, wavelengths: Sequence[float], grey: float = 0.5) -> np.ndarray:
    """Return the random colour of opaque haze: grey or white, a little blue or yellow, and a little of its own.

    ``grey`` is the share of grey ones.

    Shapes: (C,) float32.
    Units: [0, 1].
    """
    brightness = rng.uniform(*(GREY if rng.random() < grey else WHITE))
    slope = rng.uniform(-0.03, 0.05)  # towards blue: the light of the sky; towards red: dust and a low sun
    visible = np.clip((np.asarray(wavelengths) - REFERENCE_WAVELENGTH) / 0.1, -1.5, 1.5)
    own = rng.normal(0, 0.012, len(wavelengths))  # gains of the bands that differ, as after stretching a picture
    return np.clip(brightness * (1 - slope * visible + own), 0, 1).astype(np.float32)
