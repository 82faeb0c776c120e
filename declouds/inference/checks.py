"""What can be wrong with a scene and is told before any work: files, bands, types, values."""

import os
import tempfile
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from rasterio.dtypes import in_dtype_range
from rasterio.enums import Interleaving
from rasterio.io import DatasetReader

from declouds.errors import UserError
from declouds.inference.geotiff import open_scene
from declouds.inference.nodata import as_stored
from declouds.inference.scene_writer import SIDECARS
from declouds.inference.tiles import Window
from declouds.value_range import ValueRange

SAMPLES = 5  # small windows looked at along each axis
SAMPLE_SIZE = 64


def check_files(source: Path, destination: Path, *, overwrite: bool = False, nodata: float | None = None) -> None:
    """Check the input's header and the output's place; quick, and before a model is loaded.

    Raises:
        UserError: the input is missing, no scene, or lacks blocks; the output's folder is missing or not writable; the
            output exists and ``overwrite`` is False; the output is the input, or a file that the input is made of, by
            whatever path; its name does not end in .tif; or ``nodata`` does not fit the input's type.
    """
    with open_scene(source) as scene:
        if nodata is not None:
            check_nodata(source, nodata, np.dtype(scene.dtypes[0]))
        parts = [source, *map(Path, scene.files)]
        if destination.exists() and any(part.exists() and destination.samefile(part) for part in parts):
            raise UserError(f"{destination}: is the input itself, which is never overwritten: choose another output")
        _check_blocks(scene, nodata)
    if destination.is_dir():
        raise UserError(f"{destination}: is a folder: name the file in it, such as {destination / 'clear.tif'}")
    if destination.suffix.lower() not in (".tif", ".tiff"):
        raise UserError(f"{destination}: the output is a GeoTIFF: let its name end in .tif")
    if not destination.parent.is_dir():
        raise UserError(f"{destination}: the folder {destination.parent} does not exist: create it first")
    for suffix in () if overwrite else ("", *SIDECARS):
        existing = destination.with_name(destination.name + suffix)
        if os.path.lexists(existing):
            raise UserError(f"{existing} exists already: choose another output, or ask to overwrite it (--overwrite)")
    try:
        tempfile.TemporaryFile(dir=destination.parent).close()  # permission bits alone do not tell
    except OSError as error:
        raise UserError(
            f"{destination}: the folder {destination.parent} is not writable ({error.strerror}): choose another one"
        ) from error


def check_nodata(source: Path | str, nodata: float, dtype: np.dtype) -> None:
    """Refuse a nodata value that no pixel can have.

    Raises:
        UserError: as said.
    """
    if not in_dtype_range(nodata, dtype.name) or (dtype.kind in "iu" and as_stored(nodata, dtype) is None):
        raise UserError(f"{source}: is {dtype.name}, which cannot hold nodata {nodata:g}: give a value of that type")


def check_bands(source: Path | str, count: int, *, bands: int, in_bands: int, band_names: Sequence[str] = ()) -> None:
    """Refuse a scene that does not have exactly the bands the model takes.

    Raises:
        UserError: as said, or the model gives more bands than it takes.
    """
    if bands > in_bands:
        raise UserError(f"the model makes {bands} bands from {in_bands}: it does not clear images band by band")
    if count != in_bands:
        names = f" ({', '.join(band_names)})" if band_names else ""
        choice = ",".join(str(band + 1) for band in range(in_bands))
        raise UserError(
            f"{source}: has {count} bands, the model takes {in_bands}{names}: make a file with those, in that order, "
            f"such as `rio stack {source} --bidx {choice} -o bands.tif`, or choose a model for {count} bands"
        )


def check_value_range(source: Path | str, dtype: np.dtype, value_range: ValueRange) -> None:
    """Refuse a type that does not go with the model's value range.

    0..255 goes with uint8 alone. An integer type must hold the whole range, and the range at least 16 steps (0..1 is
    for fractions). Floating point goes with everything but 0..255.

    Raises:
        UserError: as said.
    """
    low, high = value_range.low, value_range.high
    eight_bit = value_range == ValueRange.of_dtype("uint8")
    if np.issubdtype(dtype, np.floating):
        fits = not eight_bit
    else:
        limits = np.iinfo(dtype)
        fits = limits.min <= low and high <= limits.max and high - low >= 16 and (dtype == np.uint8 or not eight_bit)
    if not fits:
        raise UserError(
            f"{source}: is {dtype.name}, and the model was trained on values {low:g} to {high:g}: convert the scene "
            f"to {'uint8' if eight_bit else 'those units'} as the training images were, or use a model for its units"
        )


def check_values(
    source: Path | str,
    read: Callable[[Window], tuple[np.ndarray, np.ndarray]],
    height: int,
    width: int,
    value_range: ValueRange,
) -> None:
    """Look at samples all over the scene, and refuse values that are plainly in other units than the model's.

    Raises:
        UserError: 99 % of them are out of the value range, or they are floating-point numbers within 1/1000 of its low
            end, as reflectances of 0 to 1 are for a model that knows 0 to 10000.
    """
    low, high = value_range.low, value_range.high
    sample = np.concatenate([_sample(read, y, x, height, width) for y in range(SAMPLES) for x in range(SAMPLES)])
    if len(sample) == 0:
        return
    outside = np.mean((sample < low) | (sample > high))
    fractions = np.issubdtype(sample.dtype, np.floating) and sample.max() <= low + (high - low) / 1000
    if outside >= 0.99 or fractions:
        raise UserError(
            f"{source}: its values ({sample.min():g} to {sample.max():g}) are not in the units the model was trained "
            f"on ({low:g} to {high:g}): rescale the scene, or choose a model for its units"
        )


def _sample(
    read: Callable[[Window], tuple[np.ndarray, np.ndarray]], y: int, x: int, height: int, width: int
) -> np.ndarray:
    """Return the valid values of one small window of the grid of samples."""
    rows, cols = min(SAMPLE_SIZE, height), min(SAMPLE_SIZE, width)
    top, left = (height - rows) * y // (SAMPLES - 1), (width - cols) * x // (SAMPLES - 1)
    values, valid = read(Window(top, left, rows, cols))
    return values[:, valid].ravel()


def _check_blocks(scene: DatasetReader, nodata: float | None) -> None:
    """Look for blocks without a place in a GeoTIFF: GDAL reads zeros there. With a nodata value they are plain nodata.

    Raises:
        UserError: there are such blocks, and no nodata value to explain them.
    """
    if scene.driver != "GTiff" or scene.nodata is not None or nodata is not None:
        return
    height, width = scene.block_shapes[0]
    rows, cols = range(-(-scene.height // height)), range(-(-scene.width // width))
    bands = scene.indexes if scene.interleaving == Interleaving.band else scene.indexes[:1]
    for band, row, col in product(bands, rows, cols):
        if scene.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=band) is None:
            raise UserError(
                f"{scene.name}: lacks pixels from row {row * height}, column {col * width} (its writer was stopped, or "
                "it is sparse): write it again, or say which value means no data (--nodata)"
            )
