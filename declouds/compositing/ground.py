"""Clear ground of an image and of its other dates, sampled all over the place."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

CELL, CELLS = 32, 24  # pixels of a cell whose colours are compared, and the most along each axis
AWAY = 3  # pixels from the edge of a cloud, within which its rim goes on

Place = tuple[int, int, int, int]  # row, column, height, width
Look = Callable[[Place], tuple[np.ndarray, np.ndarray]]  # place -> values, and which pixels are clear


class Ground(NamedTuple):
    """Clear pixels of a target, and the same pixels of each date.

    Shapes: target (C, n), dates (K, C, n), seen, where the dates are clear too, (K, n) bool, cell, the number of the
        part of the image that each pixel lies in, (n,).
    """

    target: np.ndarray
    dates: np.ndarray
    seen: np.ndarray
    cell: np.ndarray


def sample_ground(target: Look, dates: Look, height: int, width: int) -> Ground | None:
    """Return pixels of clear ground in cells all over an image; None if there is none.

    Args:
        target: gives the image at a place. Shapes: (C, h, w), (h, w) bool.
        dates: gives all dates at a place. Shapes: (K, C, h, w), (K, h, w) bool.
        height: of the image.
        width: of the image.
    """
    from scipy.ndimage import binary_erosion

    found = []
    for number, place in enumerate(spread(height, width, CELL, CELLS)):
        ours, clear = target(place)
        ground = binary_erosion(clear, iterations=AWAY, border_value=1)
        ground[1::2], ground[:, 1::2] = False, False  # every other pixel says as much
        if ground.any():
            theirs, seen = dates(place)
            cell = np.full(int(ground.sum()), number)
            found.append((ours[:, ground], theirs[..., ground].astype(np.float32), seen[:, ground], cell))
    return Ground(*(np.concatenate(parts, -1) for parts in zip(*found, strict=True))) if found else None


def spread(height: int, width: int, side: int, most: int) -> Iterator[Place]:
    """Yield squares spread evenly over an image, at most so many along each axis."""

    def starts(length: int) -> list[int]:
        size = min(side, length)
        count = max(min(most, length // size), 1)
        return [round(start) for start in np.linspace(0, length - size, count)]

    for row in starts(height):
        for col in starts(width):
            yield row, col, min(side, height), min(side, width)
