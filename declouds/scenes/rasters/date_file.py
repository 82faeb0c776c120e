"""Another date of a scene: a raster on any grid, read on the grid of the scene, and the day it was taken."""

import datetime
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
import rasterio.windows
from rasterio.dtypes import check_dtype
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.vrt import WarpedVRT

from declouds.errors import UserError
from declouds.nodata import valid_pixels
from declouds.scenes.rasters.mask_file import place_on
from declouds.scenes.rasters.scene import Scene
from declouds.scenes.rasters.scene_file import reason
from declouds.scenes.rasters.web import patiently
from declouds.scenes.rasters.web_path import located, redacted
from declouds.scenes.sampling.image import Read
from declouds.scenes.sampling.tiles import Window
from declouds.value_range import ValueRange

DAY = r"((?:19|20)\d\d)([-_:]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])"
TAGS = (  # namespace and name, where software writes when an image was taken
    ("IMAGERY", "ACQUISITIONDATETIME"),
    *((None, name) for name in ("DATE_ACQUIRED", "ACQUISITIONDATETIME", "datetime", "PRODUCT_START_TIME")),
)


def split_date(given: str) -> tuple[Path, datetime.date | None]:
    """Split ``FILE@2018-06-25`` into path and day; without a day that is None.

    Raises:
        UserError: there is no such day.
    """
    match = re.fullmatch(r"(.+)@(\d{4}-\d{1,2}-\d{1,2})", given)
    if match is None:
        return located(given), None
    try:
        return located(match[1]), datetime.date.fromisoformat(match[2])
    except ValueError as error:
        raise UserError(f"{redacted(given)}: {match[2]} is no date: write it as 2018-06-25") from error


def day_of(file: DatasetReader, path: Path) -> datetime.date | None:
    """Return the day that a scene was taken: by its tags, its name, or last TIFFTAG_DATETIME; None if none says it."""
    said = [file.tags(ns=namespace).get(name, "") for namespace, name in TAGS]
    for text in (*said, path.name, file.tags().get("TIFFTAG_DATETIME", "")):
        for found in re.finditer(rf"(?<!\d){DAY}(?!\d)", text):
            try:
                return datetime.date(int(found[1]), int(found[3]), int(found[4]))
            except ValueError:  # 30 February
                continue
    return None


@contextmanager
def on_grid_of(
    target: Scene, date: Scene, shift: tuple[float, float] = (0.0, 0.0), what: str = "date"
) -> Iterator[Read]:
    """Lay a date on the grid of the target, window by window, with bilinear interpolation.

    Gives what reads its values in the target's stored units, and which of its pixels have data.

    Args:
        target: the scene whose grid it is.
        date: the other date, open, with the bands of the target.
        shift: rows and columns of the target's grid by which the date is moved up and to the left.
        what: it is, for messages, if it is no date.

    Raises:
        UserError: it cannot be laid there, see `place_on`; a read meets damage.
    """
    file, name = date.file, str(date.path)
    place = place_on(file, name, target.file, what)
    moved = rasterio.windows.Window(shift[1], shift[0], 1, 1)
    place["transform"] = rasterio.windows.transform(moved, place["transform"])
    own_alpha = ColorInterp.alpha in file.colorinterp
    try:
        raster = WarpedVRT(
            *(file,),
            **place,
            **dict(height=target.file.height, width=target.file.width, resampling=Resampling.bilinear),
            **dict(src_nodata=date.nodata, nodata=date.nodata, add_alpha=not own_alpha, UNIFIED_SRC_NODATA="YES"),
        )
    except (RasterioError, CRSError, ValueError) as error:
        raise UserError(f"{name}: cannot be laid on the scene {target.path} ({reason(error)})") from error
    opacity = file.colorinterp.index(ColorInterp.alpha) + 1 if own_alpha else file.count + 1

    def read(window: Window) -> tuple[np.ndarray, np.ndarray]:
        part = rasterio.windows.Window(window.col, window.row, window.width, window.height)
        try:
            values, covered = patiently(
                file, lambda: (raster.read(date.indexes, window=part), raster.read([opacity], window=part))
            )
        except RasterioError as error:
            raise UserError(f"{name}: cannot be read ({reason(error)}): is the file whole?") from error
        valid = valid_pixels(values, date.nodata, covered, date.stored_range)
        return convert(values, date.stored_range, target.stored_range), valid

    with raster:
        yield read


def convert(values: np.ndarray, theirs: ValueRange, ours: ValueRange) -> np.ndarray:
    """Return values as stored where -1 and 1 stand for one range, in units where they stand for another."""
    if ours == theirs:
        return values
    scale = (ours.high - ours.low) / (theirs.high - theirs.low)
    return ((values - theirs.low) * scale + ours.low).astype(np.float32)


@contextmanager
def moved(
    values: np.ndarray, nodata: float | None, stored: ValueRange, name: str, shift: tuple[float, float]
) -> Iterator[Read]:
    """Move an array on its own grid, as `on_grid_of` moves a file.

    Args:
        values: as stored, (C, H, W); what a masked array masks has no data.
        nodata: the value that means "no data".
        stored: stored values that stand for -1 and 1.
        name: of the array, for messages.
        shift: rows and columns by which it is moved up and to the left.
    """
    pixels, known = np.ma.getdata(values), ~np.ma.getmaskarray(values).any(0)
    if not check_dtype(pixels.dtype):  # float16, which GDAL may not have
        pixels = pixels.astype(np.float64)
    if nodata is not None and not known.all():
        pixels = np.where(known, pixels, pixels.dtype.type(nodata))
    count, height, width = pixels.shape
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        shape = dict(count=count, height=height, width=width, dtype=pixels.dtype)
        with memory.open(driver="GTiff", BIGTIFF="IF_SAFER", photometric="minisblack", alpha="no", **shape) as file:
            file.write(pixels)
            if nodata is None and not known.all():
                file.write_mask(known)
        with memory.open() as file:
            indexes = list(file.indexes)
            date = Scene(file, Path(name), indexes, indexes, stored, nodata)
            with on_grid_of(date, date, shift) as read:
                yield read
