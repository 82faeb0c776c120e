"""Shapes and looks of thick clouds over real images: fields of clouds of any size, and clouds cut from real masks."""

import math

import numpy as np
from scipy import ndimage

from declouds.simulation.noise import fractal_noise

ENOUGH = 0.02  # share of the canvas that is to be cloud
TRIES = 5
BACKWARD = (1 - 0.85) * math.sqrt(3) / 2  # share of the light that a cloud of optical depth 1 turns back, nearly
BRIGHTNESS = (0.85, 1.05)  # of an endless cloud, in pictures
DEPTHS = (3.0, 100.0)  # optical depth well inside of a cloud


def clustered_body(
    rng: np.random.Generator, height: int, width: int, scale: float = 40.0, cover: float = 0.3
) -> np.ndarray:
    """Return the shape of clouds of up to about ``scale`` pixels, in clusters, which cover a share of the canvas.

    Shapes: (H, W): as `random_body`.
    """
    clouds = fractal_noise(rng, height, width, slope=rng.uniform(3.9, 4.9), scale=scale)
    clusters = fractal_noise(rng, height, width, slope=5, scale=3 * scale)
    depth = clouds + np.float32(rng.uniform(0, 1)) * clusters
    return (depth - np.quantile(depth, 1 - cover)).astype(np.float32)


def body_of_mask(mask: np.ndarray, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return the shape of clouds cut from a mask, turned, mirrored and enlarged at random, with soft, ragged edges.

    A mask smaller than the canvas is continued by mirroring. Of a few random places one is taken that has clouds, if
    there is one.

    Shapes: bool (any, any) -> (height, width): as `random_body`.
    """
    turned = np.rot90(mask, int(rng.integers(4)))
    turned = turned[:, ::-1] if rng.random() < 0.5 else turned
    zoom = np.exp(rng.uniform(np.log(0.6), np.log(1.6)))
    wanted = math.ceil(height / zoom), math.ceil(width / zoom)
    more = [(0, max(0, side - there)) for side, there in zip(wanted, turned.shape, strict=True)]
    turned = np.pad(turned, more, mode="symmetric")
    for _ in range(TRIES):
        top, left = (int(rng.integers(0, there - side + 1)) for there, side in zip(turned.shape, wanted, strict=True))
        cut = turned[top : top + wanted[0], left : left + wanted[1]]
        if cut.mean() >= ENOUGH:
            break
    inside = ndimage.zoom(_distance_inside(cut), (height / wanted[0], width / wanted[1]), order=1)
    depth = np.minimum(inside * np.float32(zoom / rng.uniform(8, 20)), 1.5)
    ragged = fractal_noise(rng, height, width, slope=4.0, scale=30)
    large = fractal_noise(rng, height, width, slope=4.6, scale=60)
    return depth + np.float32(0.2) * ragged + np.float32(0.3) * large


def _distance_inside(mask: np.ndarray) -> np.ndarray:
    """Return the distance of each pixel to the edge of the mask, negative outside, in pixels."""
    if mask.all() or not mask.any():
        return np.full(mask.shape, 40.0 if mask.all() else -40.0, np.float32)
    inside = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    return inside.astype(np.float32)


def translucent(
    body: np.ndarray, rng: np.random.Generator, sun: float, brightness: tuple[float, float] = BRIGHTNESS
) -> tuple[np.ndarray, np.ndarray]:
    """Return opacity and brightness of clouds that are the brighter the thicker, grey where they are thin.

    A cloud of optical depth tau, which grows inwards and is ragged, reflects ``R = b tau / (1 + b tau)`` and lets 1 - R
    through, twice: down to the ground and back (two streams without absorption; Bohren 1987, Am. J. Phys. 55, 524;
    b = (1 - g) sqrt(3) / 2 with g = 0.85 of droplets). So its opacity is ``1 - (1 - R)^2``, and it is ``R / opacity``
    bright. Slopes turned from the sun are darker.

    Shapes: (H, W) -> (H, W), (H, W).
    Units: [0, 1]; ``sun`` as in `billowed`; ``brightness`` is the range of that of an endless cloud.
    """
    height, width = body.shape
    fine = fractal_noise(rng, height, width, slope=rng.uniform(3.2, 4.2), scale=20)
    large = fractal_noise(rng, height, width, slope=4.4, scale=45)
    ragged = np.exp(np.float32(rng.uniform(0.1, 0.5)) * fine + np.float32(rng.uniform(0.2, 0.9)) * large)
    deepest = np.float32(np.exp(rng.uniform(*np.log(DEPTHS))))
    tau = deepest * np.maximum(body, 0) ** np.float32(rng.uniform(1, 2)) * ragged
    tau = ndimage.gaussian_filter(tau, rng.uniform(0.4, 1.0), truncate=3)  # no sensor shows an edge as sharp as a pixel
    reflected = BACKWARD * tau / (1 + BACKWARD * tau)
    down, right = np.gradient(ndimage.gaussian_filter(np.log1p(tau), rng.uniform(0.7, 3)))
    lit = np.tanh(np.float32(rng.uniform(0, 3)) * (down * math.sin(sun) + right * math.cos(sun)))
    light = np.float32(rng.uniform(*brightness)) / (2 - reflected) * (1 + np.float32(0.2) * lit * reflected)
    return 1 - (1 - reflected) ** 2, np.clip(light, 0, 1).astype(np.float32)
