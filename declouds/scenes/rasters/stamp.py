"""What tells whether a file is still the one that it was when work on it began."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from declouds.scenes.rasters.stac import is_stac
from declouds.scenes.rasters.web import open_raster, patiently
from declouds.scenes.rasters.web_path import WebPath

PIXELS = 64  # side of what is looked at in the middle of a raster


def stamp_of(path: Path) -> Any:
    """Return what changes when a file does; None for what is no file, such as a sub-dataset.

    On this machine it is size and time. Not every server tells these, so on the web it is a digest of the raster's
    header, the sizes of its blocks, and the pixels in its middle; None for a STAC item, whose assets have their own.

    Raises:
        UserError: the file is on the web and cannot be read.
    """
    if not isinstance(path, WebPath):
        return (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None
    if is_stac(path):
        return None
    with open_raster(path) as file:
        header = [file.shape, file.dtypes, file.crs and file.crs.to_wkt(), file.transform, file.tags(), _blocks(file)]
        middle = Window((file.width - PIXELS) // 2, (file.height - PIXELS) // 2, PIXELS, PIXELS)
        inside = middle.intersection(Window(0, 0, file.width, file.height))
        pixels = patiently(file, lambda: file.read(1, window=inside))
    return hashlib.sha256(json.dumps(header, default=str).encode() + pixels.tobytes()).hexdigest()


def _blocks(file: DatasetReader) -> Sequence[str | None]:
    """Return the sizes in bytes of all blocks of a GeoTIFF."""
    if file.driver != "GTiff":
        return []
    height, width = file.block_shapes[0]
    places = np.ndindex(file.count, -(-file.height // height), -(-file.width // width))
    return [file.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=band + 1) for band, row, col in places]
