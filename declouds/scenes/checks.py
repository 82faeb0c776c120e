"""Checks of the files of a scene, before any work."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rasterio.dtypes import in_dtype_range
from rasterio.enums import Interleaving
from rasterio.errors import RasterioError

from declouds.errors import UserError
from declouds.image_io import missing_block
from declouds.nodata import as_stored
from declouds.scenes.rasters.bands import find_bands
from declouds.scenes.rasters.picture import check_picture
from declouds.scenes.rasters.scene_file import open_scene, source_files
from declouds.scenes.rasters.web import open_raster
from declouds.scenes.rasters.web_path import WebPath
from declouds.scenes.rasters.writer import SIDECARS

LARGEST_BLOCK = 2**28  # bytes


def check_files(
    source: Path,
    destination: Path,
    *,
    overwrite: bool = False,
    nodata: float | None = None,
    bands: Sequence[str] | None = None,
) -> None:
    """Check the input's header and the output's place; quick, and before a model is loaded.

    Args:
        source: the scene, of any kind that `open_scene` knows.
        destination: the GeoTIFF to write, or a PNG if the scene is a picture.
        overwrite: replace an existing output.
        nodata: the value that means "no data", in place of the file's own.
        bands: the bands to use.

    Raises:
        UserError: the input is missing, no scene, or lacks blocks or a band; the output's folder is missing or not
            writable; the output exists and ``overwrite`` is False; the output is the input, or a file that the input is
            made of, by whatever path; its name does not end in .tif, or in .png for a
            picture; or ``nodata`` does not fit the input's type.
    """
    with open_scene(source, bands) as scene:
        parts = source_files(scene)
        first = find_bands(scene, bands, source)[0] if bands else 1
        if destination.exists() and any(part.exists() and destination.samefile(part) for part in {source, *parts}):
            raise UserError(f"{destination}: is the input itself, which is never overwritten: choose another output")
        if nodata is not None:
            check_nodata(source, nodata, np.dtype(scene.dtypes[first - 1]))
        if destination.suffix.lower() == ".png":
            check_picture(destination, scene)
        for part in parts:
            _check_blocks(part, has_nodata=nodata is not None or scene.nodatavals[first - 1] is not None)
    if destination.is_dir():
        raise UserError(f"{destination}: is a folder: name the file in it, such as {destination / 'clear.tif'}")
    if destination.suffix.lower() not in (".tif", ".tiff", ".png"):
        raise UserError(f"{destination}: the output is a GeoTIFF, or a PNG for a picture: let its name end in .tif")
    if not destination.parent.is_dir():
        raise UserError(f"{destination}: the folder {destination.parent} does not exist: create it first")
    for suffix in () if overwrite else ("", *SIDECARS):
        existing = destination.with_name(destination.name + suffix)
        if os.path.lexists(existing):
            raise UserError(f"{existing} exists already: choose another output, or ask to overwrite it (--overwrite)")
    try:
        tempfile.TemporaryFile(dir=destination.parent).close()  # permission bits alone are not enough
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


def _check_blocks(path: Path, has_nodata: bool) -> None:
    """Look for blocks without a place in a GeoTIFF: GDAL reads zeros there. With a nodata value they are plain nodata.

    Raises:
        UserError: there are such blocks, and no nodata value to explain them; or more blocks than the file has bytes.
    """
    try:
        part = open_raster(path, "GTiff")
    except RasterioError:
        return  # of another format, or missing: reported when it is read
    with part:
        height, width = part.block_shapes[0]
        rows, cols = range(-(-part.height // height)), range(-(-part.width // width))
        bands = part.indexes if part.interleaving == Interleaving.band else part.indexes[:1]
        depth = 1 if part.interleaving == Interleaving.band else part.count
        size = height * width * depth * np.dtype(part.dtypes[0]).itemsize
        if size > LARGEST_BLOCK:
            raise UserError(
                f"{path}: its blocks of {width} x {height} pixels take {size / 1e9:.3g} GB each, and a block is read "
                "whole: give it smaller ones (gdal_translate -co TILED=YES)"
            )
        on_web, blocks = isinstance(path, WebPath), len(rows) * len(cols) * len(bands)
        if not on_web and blocks > path.stat().st_size:  # and each has its place noted in the file
            raise UserError(
                f"{path}: says that it has {part.width} x {part.height} pixels, which its {path.stat().st_size} bytes "
                "cannot hold: it is damaged; copy or download it again"
            )
        if has_nodata or part.nodata is not None:
            return
        if found := missing_block(part, masked=True):
            raise UserError(
                f"{path}: lacks pixels from row {found[0]}, column {found[1]} (its writer was stopped, or it is "
                "sparse): write it again, or say which value means no data (--nodata)"
            )
