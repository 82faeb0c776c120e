"""The chunks of a dask array: where each of them lies, and any window of the image out of those around it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from declouds.errors import UserError
from declouds.scenes.sampling.tiles import Window, common_of, inside_of, touches


@dataclass(frozen=True)
class Chunks:
    """A dask array whose chunks have all bands, and where these lie.

    Args:
        array: (C, H, W), or (H, W).
        lines: the window of each chunk, row by row.
    """

    array: Any
    lines: Sequence[Sequence[Window]]

    @classmethod
    def of(cls, array: Any) -> "Chunks":
        """Return the chunks of an array, with all bands in each, and without those that hold nothing."""
        sizes = [tuple(size for size in sizes if size) for sizes in array.chunks[-2:]]
        array = array.rechunk((*array.shape[:-2], *sizes))
        return cls(array, grid(*sizes))

    def touching(self, area: Window) -> tuple[list[Window], list[Any]]:
        """Return the windows of the chunks that lie in an area, and what dask calls these."""
        bands = (0,) * (self.array.ndim - 2)
        found = [
            (window, (self.array.name, *bands, row, col))
            for row, line in enumerate(self.lines)
            if touches(line[0]._replace(col=area.col, width=area.width), area)
            for col, window in enumerate(line)
            if touches(window, area)
        ]
        return [window for window, _ in found], [key for _, key in found]


class Parts:
    """Some windows of an image, indexed as the whole image is.

    Args:
        parts: window -> its values (..., h, w).
    """

    def __init__(self, parts: Mapping[Window, np.ndarray]) -> None:
        self.parts = parts

    def __getitem__(self, key: tuple[Any, ...]) -> np.ndarray:
        rows, cols = key[-2:]
        wanted = Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
        found: list[tuple[tuple[slice, slice], np.ndarray]] = []
        known = np.zeros((wanted.height, wanted.width), bool)
        for window, values in self.parts.items():
            common = common_of(wanted, window)
            part = values[..., *inside_of(common, window)]
            if common == wanted:
                return part
            if touches(wanted, window):
                found.append((inside_of(common, wanted), part))
                known[found[-1][0]] = True
        if not known.all():
            raise UserError(
                "the array: too few of its pixels have data to find its range in some windows: say which values are "
                "dark and bright (value_range), or load it (image.load())"
            )
        empty = np.ma.empty if any(isinstance(part, np.ma.MaskedArray) for _, part in found) else np.empty
        result = empty((*found[0][1].shape[:-2], *known.shape), found[0][1].dtype)
        for place, part in found:
            result[..., *place] = part
        return result


def cut_out(values: np.ndarray, window: Window, wanted: Sequence[Window]) -> dict[Window, np.ndarray]:
    """Return copies of what a chunk has of some windows: the chunk itself need not stay in memory for them."""
    parts = (common_of(one, window) for one in wanted if touches(one, window))
    return {part: values[..., *inside_of(part, window)].copy() for part in parts}


def grid(heights: Sequence[int], widths: Sequence[int]) -> list[list[Window]]:
    """Return the windows of a grid of chunks, row by row."""
    rows, cols = (list(zip(accumulate(sizes, initial=0), sizes, strict=False)) for sizes in (heights, widths))
    return [[Window(row, col, height, width) for col, width in cols] for row, height in rows]


def pieces(length: int, side: int) -> list[int]:
    """Return the lengths of the pieces of an axis."""
    return [min(side, length - start) for start in range(0, length, side)]
