"""The rows of a scene that windows still add to; the rest of the scene is not in memory."""

import numpy as np

from declouds.inference.tiles import Window


class RowBuffer:
    """A band of rows that moves down the scene.

    Args:
        bands: bands of the image.
        rows: how many rows are held at most.
        width: columns of the scene.

    Shapes: ``values`` (bands, rows, width) float32, whatever the height of the scene.
    """

    def __init__(self, bands: int, rows: int, width: int) -> None:
        self.values = np.zeros((bands, rows, width), np.float32)
        self.first = 0  # the row of the scene that `values[:, 0]` holds

    def add(self, window: Window, values: np.ndarray) -> None:
        """Add ``values`` at the window's place. Shapes: (bands, window.height, window.width)."""
        rows, cols = window.slices
        self.values[:, rows.start - self.first : rows.stop - self.first, cols] += values

    def take(self, until: int) -> np.ndarray:
        """Remove the rows above ``until`` and return them. Shapes: (bands, until - first, width)."""
        count = until - self.first
        taken = self.values[:, :count].copy()
        kept = self.values.shape[1] - count
        self.values[:, :kept] = self.values[:, count:]
        self.values[:, kept:] = 0
        self.first = until
        return taken
