"""GeoTIFF in, GeoTIFF out, of any size: read by windows, written by blocks, memory bounded by the width alone."""

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.enums import ColorInterp

from declouds.inference.checks import check_bands, check_files, check_value_range, check_values
from declouds.inference.cleared_blocks import ClearedBlocks, Progress, Tally
from declouds.inference.geotiff import open_scene, read_window
from declouds.inference.nodata import valid_pixels
from declouds.inference.noise import check_seed
from declouds.inference.scene_writer import SceneWriter
from declouds.inference.tiled import Predict
from declouds.inference.tiles import Window, check_tiling
from declouds.value_range import ValueRange


@dataclass(frozen=True)
class SceneReport:
    """What was done: the output, its size, the time, and the `Tally` of the loop."""

    path: Path
    height: int
    width: int
    seconds: float
    tally: Tally

    @property
    def speed(self) -> float:
        """Megapixels per second."""
        return self.height * self.width / 1e6 / max(self.seconds, 1e-9)


def clear_scene(
    predict: Predict,
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    bands: int,
    in_bands: int,
    value_range: ValueRange,
    band_names: Sequence[str] = (),
    tile: int = 256,
    overlap: int = 64,
    seed: int = 0,
    batch_size: int = 1,
    nodata: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> SceneReport:
    """Remove the clouds of a scene, and write the result on the same grid, in the same units and type.

    A pixel without data in any band (by the nodata value, the file's mask, NaN or infinity) comes back unchanged in
    every band, and the network sees its nearest neighbour in its place. A valid pixel never gets the nodata value.
    Values out of ``value_range`` are clipped to it. Where the model takes more bands than it makes, the scene's first
    ``bands`` are cleared and written, the rest are conditions.

    Args:
        predict: ``(cloudy, noise) -> clear``, tensors (B, C, H, W) in [-1, 1]; the noise is standard normal.
        source: the scene.
        destination: the GeoTIFF to write: under a temporary name in its folder until it is complete.
        bands: bands that the model makes.
        in_bands: bands that it takes: the scene must have exactly these.
        value_range: values, as stored in the file, that stand for -1 and 1.
        band_names: names of the bands that the model takes, for messages.
        tile: height and width of a window.
        overlap: pixels that neighbouring windows share at least, where they are blended.
        seed: of the start noise, which is tied to the pixel's place: the same in every window.
        batch_size: windows predicted at a time.
        nodata: the value that means "no data", in place of the file's own; the output says so.
        overwrite: replace an existing output.
        progress: called with the number of windows done and of all.

    Raises:
        UserError: see `check_files`, `check_bands`, `check_value_range`, `check_values`, `check_tiling`, all before any
            work; a damaged block met on the way; a model that gives NaN; a disk that fills up. Nothing is left behind.
    """
    begin = time.monotonic()
    source, destination = Path(source), Path(destination)
    check_tiling(tile, overlap, batch_size)
    check_seed(seed)
    check_files(source, destination, overwrite=overwrite, nodata=nodata)
    with open_scene(source) as scene:
        check_bands(source, scene.count, bands=bands, in_bands=in_bands, band_names=band_names)
        check_value_range(source, np.dtype(scene.dtypes[0]), value_range)
        if ColorInterp.alpha in scene.colorinterp:
            logging.getLogger("declouds").warning(
                "%s: band %d is marked as transparency; the model takes it for an image band",
                source,
                scene.colorinterp.index(ColorInterp.alpha) + 1,
            )
        missing = scene.nodata if nodata is None else nodata

        def read(window: Window) -> tuple[np.ndarray, np.ndarray]:
            values, mask = read_window(scene, window)
            return values, valid_pixels(values, missing, mask)

        check_values(source, read, scene.height, scene.width, value_range)
        cleared = ClearedBlocks(predict, read, bands, value_range, missing, tile, overlap, seed, batch_size)
        tally = Tally()
        with SceneWriter(destination, scene, bands, missing, overwrite) as writer:
            for window, values in cleared(scene.height, scene.width, tally, progress):
                writer.write(window, values)
        return SceneReport(destination, scene.height, scene.width, time.monotonic() - begin, tally)
