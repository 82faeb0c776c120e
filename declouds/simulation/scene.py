"""Procedural land: fields, woods, water, roads, towns and relief, in red, green, blue and near infrared."""

import math

import numpy as np
from scipy import ndimage

from declouds.simulation.noise import fractal_noise
from declouds.simulation.parcels import Parcels, district_angles

# Red, green, blue and near infrared as an image shows them: vegetation is bright in near infrared, water black.
COLOURS = {
    "water": (0.07, 0.13, 0.17, 0.04),
    "shallow": (0.25, 0.29, 0.25, 0.10),
    "wood": (0.14, 0.19, 0.13, 0.52),
    "meadow": (0.33, 0.39, 0.22, 0.66),
    "lush": (0.24, 0.35, 0.19, 0.80),
    "young": (0.36, 0.43, 0.26, 0.68),
    "ripe": (0.60, 0.54, 0.35, 0.60),
    "soil": (0.51, 0.42, 0.33, 0.48),
    "ploughed": (0.38, 0.31, 0.25, 0.38),
    "sand": (0.72, 0.63, 0.48, 0.72),
    "rock": (0.45, 0.41, 0.37, 0.46),
    "scrub": (0.42, 0.40, 0.29, 0.54),
    "road": (0.55, 0.53, 0.50, 0.54),
    "street": (0.37, 0.37, 0.38, 0.40),
    "roof": (0.58, 0.42, 0.36, 0.50),
    "concrete": (0.66, 0.65, 0.62, 0.62),
    "slate": (0.34, 0.36, 0.40, 0.36),
}
CROPS = ("lush", "young", "ripe", "soil", "ploughed", "meadow", "meadow", "lush")
ROOFS = ("roof", "concrete", "slate", "concrete", "roof", "slate", "wood", "meadow")
LANDSCAPES = ("farmland", "farmland", "mountains", "desert", "town", "lakes")


def colour(name: str) -> np.ndarray:
    """Return a colour as (4,) float32."""
    return np.array(COLOURS[name], dtype=np.float32)


def clear_scene(rng: np.random.Generator, height: int, width: int, bands: int = 3) -> np.ndarray:
    """Return a random piece of land without clouds.

    One of several landscapes is drawn; fields, roads and houses have their size in pixels, whatever the image's
    size.

    Shapes: (bands, height, width); 3 bands are red, green, blue, a fourth is near infrared.
    Units: [0, 1].
    """
    landscape = str(rng.choice(LANDSCAPES))
    elevation = _elevation(rng, height, width, rugged=landscape in ("mountains", "desert"))
    wetness = fractal_noise(rng, height, width, slope=3.2, scale=90)
    texture = fractal_noise(rng, height, width, slope=1.6, scale=8)
    if landscape == "mountains":
        image = _mountains(elevation, wetness)
    elif landscape == "desert":
        image = _desert(elevation, wetness)
    else:
        image = _settled(rng, height, width, landscape, wetness, texture)
    image *= 1 + 0.05 * texture
    relief = {"mountains": rng.uniform(2.5, 5), "desert": rng.uniform(1, 3)}.get(landscape, rng.uniform(0.5, 2))
    image *= _hillshade(elevation, relief, rng.uniform(0, 2 * np.pi))
    if landscape == "lakes" or (landscape != "mountains" and rng.random() < 0.5):
        _draw_water(image, rng, wetness, lake=landscape == "lakes")
    return _as_seen(image[:bands], rng)


def _elevation(rng: np.random.Generator, height: int, width: int, rugged: bool) -> np.ndarray:
    """Return heights of about unit variance; rugged land has sharp ridges and branching valleys."""
    smooth = fractal_noise(rng, height, width, slope=5, scale=90)
    if not rugged:
        return smooth
    grain = rng.uniform(0, np.pi)  # mountain chains run in one direction, their spurs across it
    ridges = 1 - np.abs(fractal_noise(rng, height, width, slope=6.5, scale=30, stretch=1.6, angle=grain))
    spurs = 1 - np.abs(fractal_noise(rng, height, width, slope=6, scale=9, stretch=2, angle=grain + np.pi / 2))
    rough = fractal_noise(rng, height, width, slope=3.4, scale=8)
    return 0.3 * smooth + ridges + 0.22 * spurs + 0.03 * rough


def _hillshade(elevation: np.ndarray, relief: float, sun: float) -> np.ndarray:
    """Return the brightness of slopes, 1 on flat land."""
    down, right = np.gradient(elevation)
    lit = (down * math.sin(sun) + right * math.cos(sun)) * np.float32(relief)
    return np.clip(1 + lit / np.sqrt(1 + 0.5 * lit * lit), 0.25, 1.8).astype(np.float32)


def _blend(below: np.ndarray, above: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Lay a colour (4,) or an image over an image, by a share per pixel."""
    top = above[:, None, None] if above.ndim == 1 else above
    return below + (top - below) * share


def _step(values: np.ndarray, at: float, softness: float) -> np.ndarray:
    """Return 0 below ``at``, 1 above, with a soft edge."""
    return np.clip((values - at) / softness + 0.5, 0, 1)


def _mountains(elevation: np.ndarray, wetness: np.ndarray) -> np.ndarray:
    image = np.broadcast_to(colour("rock")[:, None, None], (4, *elevation.shape)).copy()
    image = _blend(image, colour("scrub"), _step(wetness - elevation, -1.0, 1.5))
    image = _blend(image, 1.2 * colour("wood"), _step(wetness - elevation, 0.1, 1.0))
    return _blend(image, colour("sand"), 0.4 * _step(elevation - 0.3 * wetness, 1.2, 0.5))


def _desert(elevation: np.ndarray, wetness: np.ndarray) -> np.ndarray:
    image = np.broadcast_to(colour("sand")[:, None, None], (4, *elevation.shape)).copy()
    image = _blend(image, colour("rock"), 0.7 * _step(elevation, 0.9, 0.9))
    return _blend(image, colour("scrub"), 0.8 * _step(wetness - elevation, 0.6, 0.6))


def _settled(
    rng: np.random.Generator, height: int, width: int, landscape: str, wetness: np.ndarray, texture: np.ndarray
) -> np.ndarray:
    """Return fields with woods and roads, and a town where the noise of settlement is high."""
    angles, lanes = district_angles(rng, height, width)
    fields = Parcels(rng, angles, across=rng.uniform(14, 34), along=rng.uniform(24, 60))
    image = fields.paint(rng, [colour(name) for name in CROPS], spread=0.10)
    rows = np.sin(fields.across * np.float32(2 * np.pi / rng.uniform(2.6, 5))) * fields.choose(rng, [0, 0, 0.05, 0.09])
    image *= 1 + rows
    image = _blend(image, colour("wood"), np.float32(0.6) * (fields.edge < 0.8) * fields.choose(rng, [0, 0.5, 1]))
    image = _blend(
        image, colour("wood")[:, None, None] * (1 + 0.25 * texture), _step(wetness + 0.3 * texture, 0.85, 0.3)
    )
    if landscape == "town" or rng.random() < 0.35:
        settled = fractal_noise(rng, height, width, slope=3.0, scale=60)
        image = _blend(image, _town(rng, angles), _step(settled, -0.6 if landscape == "town" else 1.1, 0.15))
    return _blend(image, colour("road"), np.maximum(0.9 * lanes, _highway(rng, height, width)))


def _town(rng: np.random.Generator, angles: np.ndarray) -> np.ndarray:
    """Return blocks of houses between streets; also the colour of each house, and gardens."""
    blocks = Parcels(rng, angles, across=rng.uniform(12, 20), along=rng.uniform(16, 32))
    houses = Parcels(rng, angles, across=rng.uniform(5, 9), along=rng.uniform(5, 9))
    image = houses.paint(rng, [colour(name) for name in ROOFS], spread=0.15)
    green = blocks.choose(rng, [0, 0.15, 0.35, 0.95])  # from factories to suburbs and parks
    image = _blend(image, 0.8 * colour("meadow"), np.maximum(green, np.float32(0.7) * (houses.edge < 0.9)))
    return _blend(image, colour("street" if rng.random() < 0.5 else "road"), _step(-blocks.edge, -1.2, 0.8))


def _highway(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return the share of one or two gently bent roads in each pixel."""
    share = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(0, 3))):
        distance = _distance_from_path(rng, height, width, bend=14, scale=150)
        share = np.maximum(share, _step(-np.abs(distance), -rng.uniform(0.7, 1.6), 1.0))
    return share


def _distance_from_path(rng: np.random.Generator, height: int, width: int, bend: float, scale: float) -> np.ndarray:
    """Return the signed distance from a path across the image that leaves its straight line by some ``bend`` pixels."""
    angle = rng.uniform(0, np.pi)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    down, right = rows - height * rng.uniform(0.2, 0.8), columns - width * rng.uniform(0.2, 0.8)
    straight = down * math.cos(angle) - right * math.sin(angle)
    return straight + np.float32(bend) * fractal_noise(rng, height, width, slope=6, scale=scale)


def _draw_water(image: np.ndarray, rng: np.random.Generator, wetness: np.ndarray, lake: bool) -> None:
    """Draw a lake where it is wet, or a river with wooded banks."""
    height, width = wetness.shape
    if lake:
        shore = fractal_noise(rng, height, width, slope=4.6, scale=80) + 0.25 * wetness
        depth = (shore - rng.uniform(-0.2, 0.7)) * 14
    else:
        depth = rng.uniform(1.5, 6) - np.abs(_distance_from_path(rng, height, width, bend=20, scale=60))
    image[:] = _blend(image, colour("wood"), 0.6 * _step(depth, -3, 3))
    image[:] = _blend(image, colour("shallow"), _step(depth, 0, 1.0))
    image[:] = _blend(image, colour("water"), rng.uniform(0.5, 1.0) * _step(depth, 3.0, 5.0))


def _as_seen(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pass the land through a sensor: its blur, gain and grain."""
    blurred = ndimage.gaussian_filter(image, (0, 0.6, 0.6), truncate=2.5)
    gain = rng.uniform(0.9, 1.3) * rng.uniform(0.95, 1.05, size=(len(image), 1, 1))
    grain = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(0.008)
    return np.clip(blurred * gain.astype(np.float32) + grain, 0, 1)
