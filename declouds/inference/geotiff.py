"""A scene's file, opened and read with its faults named."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from declouds.errors import UserError
from declouds.inference.tiles import Window

GDAL_OPTIONS = {
    "GDAL_TIFF_INTERNAL_MASK": "YES",  # a mask goes into the file, not beside it
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "TRUE",  # a JPEG-compressed block cut short is an error, not grey pixels
}


@contextmanager
def open_scene(path: Path) -> Iterator[DatasetReader]:
    """Open an image whose bands are measured values of one type.

    Raises:
        UserError: there is no such file; it is no raster; or it has no bands, bands of several types or nodata values,
            complex numbers or palette indices.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: {'is a folder: give one GeoTIFF' if path.is_dir() else 'no such file: check the path'}"
        )
    with warnings.catch_warnings(), rasterio.Env(**GDAL_OPTIONS):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            scene = rasterio.open(path)
        except RasterioError as error:
            raise UserError(f"{path}: cannot be read as a raster ({reason(error)}): give a GeoTIFF") from error
        with scene:
            if fault := _fault(scene):
                raise UserError(f"{path}: {fault}")
            yield scene


def has_mask(scene: DatasetReader) -> bool:
    """Tell whether the file holds a mask of its own: neither a nodata value nor an alpha band, which is a band."""
    no_masks: tuple[list[MaskFlags], ...] = ([MaskFlags.all_valid], [MaskFlags.nodata])
    return any(flags not in no_masks and MaskFlags.alpha not in flags for flags in scene.mask_flag_enums)


def read_window(scene: DatasetReader, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
    """Read values and, where the file has one, its mask. Shapes: (C, H, W) each.

    Raises:
        UserError: the file is damaged there.
    """
    place = rasterio.windows.Window(window.col, window.row, window.width, window.height)
    try:
        return scene.read(window=place), scene.read_masks(window=place) if has_mask(scene) else None
    except RasterioError as error:
        raise UserError(
            f"{scene.name}: is damaged or cut short in rows {window.row} to {window.row + window.height - 1}, columns "
            f"{window.col} to {window.col + window.width - 1} ({reason(error)}): copy or download it again"
        ) from error


def _fault(scene: DatasetReader) -> str | None:
    """Return what keeps the file from being a scene, with the cure."""
    if scene.count == 0:
        return "holds no bands of its own: give one of its sub-images as a GeoTIFF (gdalinfo lists them)"
    if len(set(scene.dtypes)) > 1:
        return f"its bands have several types ({', '.join(scene.dtypes)}): convert them to one first"
    if "complex" in scene.dtypes[0]:
        return "holds complex numbers: convert it to real bands first"
    if ColorInterp.palette in scene.colorinterp:
        return "holds palette numbers, not measured values: convert it first (gdal_translate -expand rgb)"
    if len({str(value) for value in scene.nodatavals}) > 1:
        return f"its bands have different nodata values {scene.nodatavals}, and a GeoTIFF holds one: give it one first"
    return None


def reason(error: BaseException) -> str:
    """Return GDAL's own words, on one line."""
    cause: Any = error.__cause__ or error
    return " ".join(str(getattr(cause, "errmsg", cause)).split())
