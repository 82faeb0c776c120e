"""An image of any size, in a file or in memory, as the loops see it."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from declouds.scenes.sampling.tiles import Window
from declouds.value_range import ValueRange

SAMPLES = 5  # small windows looked at along each axis
SAMPLE_SIZE = 64

Read = Callable[[Window], tuple[np.ndarray, np.ndarray]]  # window -> values as stored (C, h, w), valid (h, w)


@dataclass(frozen=True)
class Image:
    """An image to clear.

    Args:
        height: rows.
        width: columns.
        read: gives any rectangle: values as stored, and which pixels have data.
        value_range: values as stored that stand for -1 and 1.
        nodata: value that results keep off.
        alpha: gives how much of any rectangle is replaced, from 0 to 1; all of it if None.
        filled: gives the pixels of any rectangle that ``read`` has from other dates; none if None.
        complete: adds to what the network sees of a rectangle, in [-1, 1], what it is shown besides, such as radar.
    """

    height: int
    width: int
    read: Read
    value_range: ValueRange
    nodata: float | None = None
    alpha: Callable[[Window], np.ndarray] | None = None
    filled: Callable[[Window], np.ndarray] | None = None
    complete: Callable[[np.ndarray, Window], np.ndarray] | None = None


def sample_windows(height: int, width: int) -> list[Window]:
    """Return small windows all over an image, its corners among them."""
    rows, cols = min(SAMPLE_SIZE, height), min(SAMPLE_SIZE, width)
    return [
        Window((height - rows) * y // (SAMPLES - 1), (width - cols) * x // (SAMPLES - 1), rows, cols)
        for y, x in product(range(SAMPLES), repeat=2)
    ]


def samples(read: Read, height: int, width: int) -> np.ndarray:
    """Return the valid values of the `sample_windows` of an image. Shapes: (C, n)."""
    found = (read(window) for window in sample_windows(height, width))
    return np.concatenate([values[:, valid] for values, valid in found], axis=1)
