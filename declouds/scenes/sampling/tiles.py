"""Geometry of overlapping windows: where they lie, and how much each counts. Numbers only, no image."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from declouds.errors import UserError

# From 0 at the edge of a window to 1 where its neighbour ends.
TAPERS = {"cosine": lambda place: np.sin(0.5 * np.pi * place) ** 2, "linear": lambda place: place}

BLENDS = ("joint", "final")


class Window(NamedTuple):
    """A rectangle of pixels: its upper left corner and its size."""

    row: int
    col: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index the last two axes of an image: ``image[..., *window.slices]``."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)


@dataclass(frozen=True)
class Tiling:
    """How an image is cut into windows, and how these are blended.

    Args:
        tile: height and width of a window.
        overlap: pixels that neighbouring windows share at least.
        taper: how the weight of a window falls towards its edges, ``cosine`` or ``linear``.
        blend: ``joint`` blends at every step of a sampler, ``final`` once at the end.
        batch_size: windows computed at a time; as many as fit a GPU's memory if None, one on a CPU.
    """

    tile: int = 256
    overlap: int = 32
    taper: str = "cosine"
    blend: str = "joint"
    batch_size: int | None = None

    def check(self) -> None:
        """Refuse windows that would not advance, and unknown words.

        Raises:
            UserError: see `check_tiling`; ``taper`` or ``blend`` is unknown.
        """
        check_tiling(self.tile, self.overlap, 1 if self.batch_size is None else self.batch_size)
        for name, known in (("taper", TAPERS), ("blend", BLENDS)):
            if getattr(self, name) not in known:
                raise UserError(f"{name} = {getattr(self, name)!r}: choose one of {', '.join(known)}")


def check_tiling(tile: int, overlap: int, batch_size: int = 1) -> None:
    """Refuse windows that would not advance.

    Raises:
        UserError: ``tile`` or ``batch_size`` is not positive, or ``overlap`` is not in 0 .. tile - 1.
    """
    if tile < 1:
        raise UserError(f"tile = {tile}: a tile has at least 1 pixel; 256 is usual")
    if not 0 <= overlap < tile:
        raise UserError(
            f"overlap = {overlap}, tile = {tile}: the overlap goes from 0 to {tile - 1}; a quarter is usual"
        )
    if batch_size < 1:
        raise UserError(f"batch_size = {batch_size}: at least 1 window is predicted at a time")


def windows(height: int, width: int, tile: int, overlap: int) -> list[Window]:
    """Cover an image with windows of one size that stay inside it, row by row.

    Neighbours share at least ``overlap`` pixels; the last of each row and column is shifted inwards. An axis shorter
    than a tile has one window of the axis's length.

    Raises:
        UserError: see `check_tiling`.
    """
    check_tiling(tile, overlap)
    rows, cols = min(tile, height), min(tile, width)
    return [
        Window(row, col, rows, cols) for row in _starts(height, rows, overlap) for col in _starts(width, cols, overlap)
    ]


def windows_in(area: Window, height: int, width: int, tile: int, overlap: int) -> list[Window]:
    """Return those of the `windows` of an image that share a pixel with an area, without making all of them."""
    rows, cols = min(tile, height), min(tile, width)
    found = (
        Window(row, col, rows, cols)
        for row in _starts(height, rows, overlap)
        if row < area.row + area.height and area.row < row + rows
        for col in _starts(width, cols, overlap)
    )
    return [window for window in found if touches(window, area)]


def blend_weights(window: Window, height: int, width: int, overlap: int, taper: str = "cosine") -> np.ndarray:
    """Return how much each pixel of ``window`` counts in the blend over an image of ``height`` x ``width``.

    The weight falls over ``overlap`` pixels towards each edge that has a neighbour, by sin^2 (``cosine``) or linearly.
    Over all `windows` of the image the weights of a pixel sum to one. They are a product of one factor per axis, and
    so is their sum over the grid of windows: dividing each axis by its own sum is exact.

    Shapes: (window.height, window.width) float32, every value > 0.
    """
    down = axis_weights(height, window.height, overlap, taper)[window.row]
    across = axis_weights(width, window.width, overlap, taper)[window.col]
    return np.outer(down, across).astype(np.float32)


def areas(height: int, width: int, tile: int, overlap: int, rows: int, cols: int) -> list[list[Window]]:
    """Cut an image into rectangles that can be blended apart, at most ``rows`` below and ``cols`` beside each other.

    Each is cut off where a window begins, so that only the windows across a cut are needed on both sides of it; there
    are never more cuts than windows.

    Returns:
        rows of areas, which together cover every pixel once.
    """
    down = _cuts(height, _starts(height, min(tile, height), overlap), rows)
    across = _cuts(width, _starts(width, min(tile, width), overlap), cols)
    return [
        [Window(top, left, bottom - top, right - left) for left, right in pairwise(across)]
        for top, bottom in pairwise(down)
    ]


def touches(window: Window, area: Window) -> bool:
    """Tell whether two rectangles share a pixel."""
    return (
        window.row < area.row + area.height
        and area.row < window.row + window.height
        and window.col < area.col + area.width
        and area.col < window.col + window.width
    )


def common_of(window: Window, area: Window) -> Window:
    """Return what two rectangles share, of no height or width if that is nothing."""
    top, left = max(window.row, area.row), max(window.col, area.col)
    bottom = min(window.row + window.height, area.row + area.height)
    right = min(window.col + window.width, area.col + area.width)
    return Window(top, left, max(bottom - top, 0), max(right - left, 0))


def around_of(window: Window, margin: int, height: int, width: int) -> Window:
    """Return the window with ``margin`` pixels more on each side, as far as the scene goes."""
    top, left = max(window.row - margin, 0), max(window.col - margin, 0)
    bottom = min(window.row + window.height + margin, height)
    right = min(window.col + window.width + margin, width)
    return Window(top, left, bottom - top, right - left)


def inside_of(window: Window, around: Window) -> tuple[slice, slice]:
    """Return the slices that cut ``window`` out of an image of ``around``."""
    return Window(window.row - around.row, window.col - around.col, window.height, window.width).slices


def _starts(length: int, size: int, overlap: int) -> list[int]:
    """Return where the windows of ``size`` begin along an axis."""
    if size >= length:
        return [0]
    return [*range(0, length - size, size - overlap), length - size]


def _cuts(length: int, starts: list[int], pieces: int) -> list[int]:
    """Return where to cut an axis into at most ``pieces`` of about as many windows, its ends included."""
    inner = {starts[len(starts) * piece // pieces] for piece in range(1, pieces)} - {0}
    return [0, *sorted(inner), length]


@lru_cache(maxsize=64)
def axis_weights(length: int, size: int, overlap: int, taper: str) -> dict[int, np.ndarray]:
    """Return start -> weights (size,) along an axis, the factors of `blend_weights`; they sum to one at every pixel."""
    # Half-pixel steps: the outermost weight is small but not zero, so the sum below never is.
    ramp = TAPERS[taper]((np.arange(min(overlap, size)) + 0.5) / max(overlap, 1))
    total = np.zeros(length)
    weights = {}
    for start in _starts(length, size, overlap):
        weight = np.ones(size)
        if start > 0:
            weight[: len(ramp)] *= ramp
        if start + size < length:
            weight[size - len(ramp) :] *= ramp[::-1]
        weights[start] = weight
        total[start : start + size] += weight
    return {start: weight / total[start : start + size] for start, weight in weights.items()}
