"""Where a scene is cloudy, and how far each of its pixels is replaced."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from declouds.errors import UserError
from declouds.nodata import fill_nodata
from declouds.scenes.sampling.tiles import Window, around_of, inside_of
from declouds.value_range import ValueRange

BLOCK = 1024  # pixels a side that a detector sees at a time
Pixels = Callable[[Window], np.ndarray]  # window -> which pixels (h, w) bool
Read = Callable[[Window], tuple[np.ndarray, np.ndarray]]  # window -> values as stored (C, h, w), valid (h, w)


@dataclass(frozen=True)
class CloudMask:
    """How far each pixel of a scene is replaced: not at all outside of clouds, wholly inside, in between at the edge.

    Clouds are first grown by a disc of radius ``dilate``, since their rims are thin and detectors miss them. Inside the
    grown cloud, alpha rises from its edge with the distance, 1 / (feather + 1) a pixel. The border of the scene, and
    pixels without data, make no edge: a cloud goes on behind them.

    Args:
        cloud: gives the cloud in any window of the scene.
        height: of the scene.
        width: of the scene.
        dilate: pixels that clouds are grown by.
        feather: pixels of a cloud's rim that are replaced in part.
        valid: gives the pixels that have data in any window; all, if not given.

    Raises:
        UserError: ``dilate`` or ``feather`` is negative.
    """

    cloud: Pixels
    height: int
    width: int
    dilate: int = 0
    feather: int = 0
    valid: Pixels | None = None

    def __post_init__(self) -> None:
        for name, value in dict(dilate=self.dilate, feather=self.feather).items():
            if value < 0:
                raise UserError(f"{name} = {value}: give a number of pixels, 0 or more")

    def alpha(self, window: Window) -> np.ndarray:
        """Return how far the pixels of a window are replaced; where windows overlap, they agree.

        Shapes: (window.height, window.width) float32.
        Units: 0 (stays as it is) to 1 (replaced).
        """
        from scipy.ndimage import distance_transform_edt

        around = around_of(window, self.dilate + self.feather, self.height, self.width)
        cloud = self.cloud(around)
        if not cloud.any():
            return np.zeros((window.height, window.width), np.float32)
        if self.dilate:
            cloud = distance_transform_edt(~cloud) <= self.dilate
        edge = ~cloud if self.valid is None else ~cloud & self.valid(around)
        alpha = cloud.astype(np.float32)
        if self.feather and edge.any():
            alpha *= np.minimum(distance_transform_edt(~edge) / (self.feather + 1), 1)
        return alpha[inside_of(window, around)]


def range_seen(detector: Any, of_model: ValueRange, reflectance: ValueRange | None) -> ValueRange:
    """Return the stored values that stand for -1 and 1 to a detector.

    Args:
        detector: one of `declouds.cloud_detectors`; with ``as_model`` it sees an image as the model does.
        of_model: stored values that stand for -1 and 1 to the model that clears the image.
        reflectance: stored values of reflectance 0 and 1, if they differ from those.
    """
    return of_model if reflectance is None or getattr(detector, "as_model", False) else reflectance


def block_side(detector: Any) -> int:
    """Return the side of the blocks, in pixels, that a detector sees at a time."""
    return getattr(detector, "block", BLOCK)


def detect_clouds(
    detector: Any, read: Read, value_range: ValueRange, height: int, width: int, area: Window | None = None
) -> Iterator[tuple[Window, np.ndarray]]:
    """Find the clouds of a scene block by block; pixels without data are not cloud.

    Blocks have the side that the detector says, or 1024 pixels; it sees its ``margin`` around them too.

    Args:
        detector: one of `declouds.cloud_detectors`.
        read: gives values as stored, of the bands that the detector knows, and which pixels have data.
        value_range: stored values that stand for -1 and 1.
        height: of the scene.
        width: of the scene.
        area: the part of the scene to look at, which begins where a block does; all of it if None.

    Yields:
        blocks from left to right and from top to bottom, and their cloud. Shapes: (block.height, block.width) bool.
    """
    block = block_side(detector)
    top, left, rows, cols = area or Window(0, 0, height, width)
    for row, col in product(range(top, top + rows, block), range(left, left + cols, block)):
        window = Window(row, col, min(block, top + rows - row), min(block, left + cols - col))
        around = around_of(window, detector.margin, height, width)
        values, valid = read(around)
        inside = inside_of(window, around)
        if valid[inside].any():
            cloud = detector(value_range.to_model(fill_nodata(values, valid)))
            yield window, cloud[inside] & valid[inside]
        else:
            yield window, np.zeros((window.height, window.width), bool)
