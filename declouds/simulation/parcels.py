"""Land cut into parcels: strips of random width, cut across at random lengths, each district in its own direction."""

from collections.abc import Sequence

import numpy as np

from declouds.simulation.noise import fractal_noise

HASHES = 4096  # random numbers that parcels draw from; two parcels share one in 4096 cases, which nobody sees


def district_angles(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide the image into a few districts.

    Returns:
        The direction of the parcels at each pixel, in radians, and 1 on the lanes between districts; both (H, W).
    """
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    rows += 12 * fractal_noise(rng, height, width, slope=6, scale=80)
    count = int(rng.integers(1, 5))
    centres = rng.uniform(0, 1, (count, 2)) * (height, width)
    distance = np.stack([np.hypot(rows - y, columns - x) for y, x in centres.astype(np.float32)])
    nearest = distance.argmin(0)
    angles = rng.uniform(0, np.pi / 2) + rng.uniform(-0.6, 0.6, count)
    lanes = np.zeros((height, width), np.float32)
    lanes[1:] += nearest[1:] != nearest[:-1]
    lanes[:, 1:] += nearest[:, 1:] != nearest[:, :-1]
    return angles.astype(np.float32)[nearest], np.minimum(lanes, 1)


class Parcels:
    """Parcels of about ``across`` times ``along`` pixels.

    ``number`` identifies them, ``edge`` is each pixel's distance to the border of its parcel; both (H, W).
    """

    def __init__(self, rng: np.random.Generator, angles: np.ndarray, across: float, along: float) -> None:
        height, width = angles.shape
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        cosine, sine = np.cos(angles), np.sin(angles)
        self.across = columns * cosine + rows * sine
        down = rows * cosine - columns * sine
        reach = float(height + width)
        borders = np.cumsum(rng.uniform(0.6, 1.4, int(2 * reach / across) + 8) * across) - reach
        borders = borders.astype(np.float32)
        strip = np.searchsorted(borders, self.across).clip(1, len(borders) - 1)
        lengths = (rng.uniform(0.6, 1.6, len(borders)) * along).astype(np.float32)[strip]
        place = (down + rng.uniform(0, along, len(borders)).astype(np.float32)[strip]) / lengths
        cut = np.floor(place)
        within = (place - cut) * lengths
        self.edge = np.minimum(
            np.minimum(self.across - borders[strip - 1], borders[strip] - self.across),
            np.minimum(within, lengths - within),
        )
        district = (angles * 1000).astype(np.int64)
        self.number = (strip * 7919 + cut.astype(np.int64) * 104729 + district * 31) % HASHES

    def choose(self, rng: np.random.Generator, values: Sequence[float]) -> np.ndarray:
        """Give each parcel one of the values, (H, W)."""
        return rng.choice(np.asarray(values, dtype=np.float32), HASHES)[self.number]

    def paint(self, rng: np.random.Generator, colours: Sequence[np.ndarray], spread: float) -> np.ndarray:
        """Give each parcel one of the colours (4,), brighter or darker by up to ``spread``: (4, H, W)."""
        palette = np.stack(colours)[rng.integers(0, len(colours), HASHES)]
        palette *= rng.uniform(1 - spread, 1 + spread, (HASHES, 1)).astype(np.float32)
        return np.moveaxis(palette[self.number], -1, 0).copy()
