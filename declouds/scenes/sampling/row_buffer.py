"""The rows of an area that windows still add to; what is finished leaves, the rest has not come yet."""

import numpy as np

from declouds.scenes.sampling.tiles import Window


class RowBuffer:
    """A band of rows that moves down an area, and sums the windows that fall into it.

    Args:
        channels: bands of the windows.
        rows: how many rows are held at most.
        area: the rectangle of the image that is summed; parts of windows beyond it are left out.
        first: the first row of the area that is wanted.

    Shapes: ``sums`` (channels + 1, rows, area.width) float32, whatever the height of the image; the last is the sum of
    the weights.
    """

    def __init__(self, channels: int, rows: int, area: Window, first: int) -> None:
        self.sums = np.zeros((channels + 1, rows, area.width), np.float32)
        self.area = area
        self.first = first  # the row of the image that `sums[:, 0]` holds

    def add(self, window: Window, values: np.ndarray, weights: np.ndarray) -> None:
        """Add ``values`` by ``weights`` at the window's place. Shapes: (channels, h, w), (h, w)."""
        top, left = max(window.row, self.first), max(window.col, self.area.col)
        bottom = min(window.row + window.height, self.area.row + self.area.height)
        right = min(window.col + window.width, self.area.col + self.area.width)
        inside = (slice(top - window.row, bottom - window.row), slice(left - window.col, right - window.col))
        place = (slice(top - self.first, bottom - self.first), slice(left - self.area.col, right - self.area.col))
        self.sums[:-1, *place] += values[:, *inside] * weights[inside]
        self.sums[-1, *place] += weights[inside]

    def mean(self, window: Window) -> np.ndarray:
        """Return the means of a window, which begins at the first row; 0 where nothing was added.

        Shapes: (channels, window.height, window.width).
        """
        cols = slice(window.col - self.area.col, window.col - self.area.col + window.width)
        sums = self.sums[:, : window.height, cols]
        return np.divide(sums[:-1], sums[-1], out=np.zeros_like(sums[:-1]), where=sums[-1] > 0)

    def drop(self, until: int) -> None:
        """Let go of the rows above ``until``."""
        kept = self.sums.shape[1] - (until - self.first)
        self.sums[:, :kept] = self.sums[:, until - self.first :]
        self.sums[:, kept:] = 0
        self.first = until
