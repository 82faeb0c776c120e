"""A clear image as another sensor, or another way of making pictures of its data, would have given it."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from declouds.simulation.noise import fractal_noise
from declouds.wavelengths import CENTRES

AIR = 0.12  # of reflectance at 0.49 micrometres: the most that clear air adds, in products without its correction
TINT, UNEVEN = 0.04, 0.015  # standard deviations of the bands' gains, and of their changes from place to place
SHOWN = [centre for name, centre in CENTRES.items() if name not in ("water_vapour", "cirrus")]


def as_another_sensor(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change contrast, gamma, gain, offset, sharpness and noise at random, within what sensors and products differ by.

    Contrast falls little and little light is added: with more of both, a clear image looks like one under a veil, and a
    model learns to leave veils alone; with contrast that never falls, it takes real clear ground for veiled.

    Shapes: (C, H, W) -> (C, H, W) float32.
    Units: [0, 1].
    """
    bands = (len(image), 1, 1)
    changed = np.clip(image, 0, 1) ** float(np.exp(rng.uniform(-0.4, 0.4)))
    middle = changed.mean(axis=(1, 2), keepdims=True)
    changed = middle + (changed - middle) * rng.uniform(0.85, 1.3)
    changed = changed * (rng.uniform(0.7, 1.15) * rng.uniform(0.92, 1.08, bands)).astype(np.float32)
    changed = changed + (rng.uniform(-0.06, 0.02) + rng.uniform(-0.02, 0.02, bands)).astype(np.float32)
    if rng.random() < 0.3:
        changed = ndimage.gaussian_filter(changed, (0, *[rng.uniform(0.4, 1.2)] * 2), truncate=3)
    if rng.random() < 0.4:
        changed = changed + rng.uniform(0.002, 0.015) * rng.standard_normal(image.shape, np.float32)
    return np.clip(changed, 0, 1).astype(np.float32)


def as_flat(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flatten a clear image to nearly one colour of any brightness, as open water, sand and snow are.

    Such an image does not say whether a veil lies over it: dark ground under an even one looks as bright ground does.
    A model that sees it clear and of any brightness learns to leave it as it is.

    Shapes: (C, H, W) -> (C, H, W) float32.
    Units: [0, 1].
    """
    bands, (height, width) = (len(image), 1, 1), image.shape[1:]
    colour = rng.uniform(0.05, 0.9) * rng.uniform(0.65, 1.35, bands)
    rise = rng.uniform(-0.06, 0.06, bands) * np.linspace(-1, 1, width)  # deeper water, a lower sun
    rise = rise + rng.uniform(-0.06, 0.06, bands) * np.linspace(-1, 1, height)[:, None]
    texture = (image - image.mean(axis=(1, 2), keepdims=True)) * rng.uniform(0, 0.4) ** 1.5
    return np.clip(colour + rise + texture, 0, 1).astype(np.float32)


def as_reflectance(image: np.ndarray, rng: np.random.Generator, wavelengths: Sequence[float]) -> np.ndarray:
    """Undo the curve and the gain by which pictures are made of reflectances: ground is dark beside clouds.

    In pictures ground fills the range of values. As reflectance most of it is below 0.2, and clouds are 0.25 to 1. In
    half of the images clear air shines above the ground as well, as at the top of the atmosphere: by Rayleigh's law it
    goes with the wavelength to the power of -4.

    Shapes: (C, H, W), wavelengths (C,) in micrometres -> (C, H, W) float32.
    Units: [0, 1].
    """
    gamma, gain = rng.uniform(1, 2.2), np.exp(rng.uniform(np.log(0.2), 0))
    dark = np.clip(image, 0, 1) ** gamma * gain
    air = max(0.0, rng.uniform(-AIR, AIR)) * (np.asarray(wavelengths) / CENTRES["blue"]) ** -4.0
    return (dark * (1 - air[:, None, None]) + air[:, None, None]).astype(np.float32)


def white_of(bands: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return how bright what reflects all light is in each band: no sensor shows clouds exactly white.

    The air takes green and blue light, more of it above low clouds, a low sun is red, and gains differ by calibration
    and by how pictures are made.

    Shapes: (C, H, W) float32.
    Units: (0, 1], the brightest value 1.
    """
    places = fractal_noise(rng, height, width, slope=4, scale=np.exp(rng.uniform(np.log(15), np.log(120))))
    gains = rng.normal(0, TINT, (bands, 1, 1)) + rng.normal(0, UNEVEN, (bands, 1, 1)) * places
    return np.exp(gains - gains.max()).astype(np.float32)


def end_of_range(cloudy: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return where the range of values of a scene might end, of which this image is a part.

    For a model of any units it ends a little above the 99.9th percentile of the scene
    (`declouds.scenes.sampling.scene_range`). This is that of the image or more, as other parts may be brighter. Bands
    differ a little, as calibration and air leave clouds a tint.

    Shapes: (C, H, W) -> (C, 1, 1) float32.
    Units: [0, 1].
    """
    top = 1.02 * float(np.percentile(cloudy, 99.9))
    top = max(top + (1 - top) * rng.random() ** 2, 0.02)
    return (top * rng.uniform(0.95, 1.05, (len(cloudy), 1, 1))).astype(np.float32)


def as_false_colour(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[float, ...]]:
    """Show a clear image as a composite of other bands might look, and say which wavelengths these have.

    The bands are shown in another order, each with a gamma and a gain of its own. The wavelengths fall from the first
    band to the last, as in composites in use, so that clouds over them are white or cyan, never purple.

    Shapes: (C, H, W) -> (C, H, W) float32, (C,) in micrometres.
    Units: [0, 1].
    """
    bands = (len(image), 1, 1)
    gamma = np.exp(rng.uniform(-0.5, 0.5, bands)).astype(np.float32)
    shown = np.clip(image[rng.permutation(len(image))], 0, 1) ** gamma
    wavelengths = sorted(rng.choice(SHOWN, len(image), replace=len(image) > len(SHOWN)).tolist(), reverse=True)
    return np.clip(shown * rng.uniform(0.7, 1.2, bands), 0, 1).astype(np.float32), tuple(wavelengths)
