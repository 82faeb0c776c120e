"""A scene's file or files, opened and read with their faults named."""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from declouds.errors import UserError
from declouds.image_io import check_one_page
from declouds.scenes.rasters.bands import find_bands
from declouds.scenes.rasters.landsat import is_landsat, landsat_layers
from declouds.scenes.rasters.sentinel2 import is_safe, safe_layers
from declouds.scenes.rasters.stac import is_stac, stac_layers
from declouds.scenes.rasters.stack import Layer, stack
from declouds.scenes.rasters.web import open_raster, patiently
from declouds.scenes.rasters.web_path import WebPath, located, redacted
from declouds.scenes.rasters.web_settings import folder_settings, http_settings
from declouds.scenes.sampling.tiles import Window

GDAL_OPTIONS = {
    "GDAL_TIFF_INTERNAL_MASK": "YES",  # a mask goes into the file, not beside it
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "TRUE",  # a JPEG-compressed block cut short is an error, not grey pixels
    "GDAL_CACHEMAX": 64 * 2**20,  # bytes; by default it is a share of the machine's memory
}
MOST_BANDS = 4096  # with tens of thousands, which damaged headers claim, each GDAL call takes minutes
SUBDATASET = re.compile(r'([A-Za-z]\w+):("?)([^"]+?)\2:(/?)(.+)')  # NETCDF:"file.nc":Band1, HDF5:"file.h5"://band
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z")


@contextmanager
def open_scene(path: Path, bands: Sequence[str] | None = None) -> Iterator[DatasetReader]:
    """Open a scene: a raster file, a mosaic (VRT), a sub-dataset, the folder of a product, or a STAC item.

    Args:
        path: of the scene; a folder is one of Sentinel-2 or of Landsat.
        bands: those that will be used. Of a product or an item they become the dataset's bands, in this order and with
            these names; the dataset of any other file has all its bands.

    Raises:
        UserError: there is no such file; it is no raster; it lacks one of ``bands``; or those, or else all bands, are
            none, are of several types or nodata values, or hold complex numbers or palette indices. See also
            `check_one_page`, `safe_layers`, `landsat_layers`, `stac_layers` and `stack`.
    """
    with warnings.catch_warnings(), rasterio.Env(**GDAL_OPTIONS, **http_settings()):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset, on_web = _dataset(path, bands)
        with rasterio.Env(**folder_settings(on_web)), _opened(dataset, path) as scene:
            if scene.count == 0:
                some = "; ".join(scene.subdatasets[:3]) + ("; ..." if len(scene.subdatasets) > 3 else "")
                raise UserError(f"{path}: holds no bands of its own: give one of its sub-datasets: {some or 'none'}")
            check_one_page(scene, path)
            if on_web and scene.driver in ("PNG", "JPEG"):
                raise UserError(f"{path}: pictures are read from this machine alone: download it, and give the file")
            if scene.count > MOST_BANDS:
                raise UserError(f"{path}: says that it has {scene.count} bands, more than any image: is it damaged?")
            try:
                _ = scene.descriptions, scene.crs, scene.gcps, scene.rpcs, scene.units, scene.tags()
            except Exception as error:  # read just now; rasterio raises GDAL's own classes, which share no base
                raise UserError(
                    f"{path}: its header is damaged ({reason(error)}): copy or download it again"
                ) from error
            if fault := _fault(scene, find_bands(scene, bands, path) if bands else scene.indexes):
                raise UserError(f"{path}: {fault}")
            yield scene


def read_window(
    scene: DatasetReader, window: Window, indexes: Sequence[int] | None = None, source: Path | str | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read values and, where the file has any, its masks: of its own, or a band for transparency that is not read.

    Args:
        scene: the open file.
        window: the rectangle.
        indexes: numbers of the bands, in any order; all if left out.
        source: the path, for messages; the file's name if left out.

    Shapes: values (C, H, W), masks (any number, H, W): a pixel with a 0 in any of them has no data.

    Raises:
        UserError: the file is damaged there.
    """
    place = rasterio.windows.Window(window.col, window.row, window.width, window.height)
    indexes = list(scene.indexes) if indexes is None else list(indexes)
    try:
        return patiently(scene, lambda: _read(scene, place, indexes))
    except RasterioError as error:
        raise UserError(
            f"{source or scene.name}: is damaged or cut short in rows {window.row} to "
            f"{window.row + window.height - 1}, columns {window.col} to {window.col + window.width - 1} "
            f"({reason(error)}): copy or download it again"
        ) from error


def source_files(scene: DatasetReader) -> set[Path]:
    """Return every file that the pixels come from, through mosaics of mosaics."""
    found: set[Path] = set()
    waiting = [located(name) for name in scene.files]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            try:
                with open_raster(path, "VRT") as mosaic:
                    waiting += map(located, mosaic.files)
            except RasterioError:
                continue  # no mosaic
    return found


def subdataset(path: Path) -> tuple[str, Path, str] | None:
    """Return GDAL's name of a sub-dataset, the file that it is in, and its own name; None for any other path."""
    found = SUBDATASET.fullmatch(str(path))
    if found is None or not Path(found[3]).is_file():
        return None
    driver, file, slash, name = found[1], found[3], found[4], found[5]
    slashes = "//" if slash else ""  # of two, a path keeps one
    return f'{driver}:"{file}":{slashes}{name}', Path(file), name.replace("/", "_").strip("_")


def reason(error: BaseException) -> str:
    """Return GDAL's own words, on one line."""
    cause: Any = error.__cause__ or error
    return " ".join(redacted(str(getattr(cause, "errmsg", cause))).split())


def _opened(dataset: str | Path, path: Path) -> DatasetReader:
    """Open what GDAL opens, see `_dataset`."""
    try:
        return open_raster(dataset) if isinstance(dataset, Path) else rasterio.open(dataset)
    except RasterioError as error:
        raise UserError(f"{path}: cannot be read as a raster ({reason(error)}): give a GeoTIFF") from error
    except UnicodeError as error:
        raise UserError(f"{path!r}: GDAL takes names in UTF-8 alone: rename it") from error


def _read(
    scene: DatasetReader, place: rasterio.windows.Window, indexes: list[int]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read values and masks, see `read_window`."""
    values = scene.read(indexes, window=place)
    masks = [scene.read_masks(index, window=place) for index in _masks(scene, indexes)]
    masks += [scene.read(index, window=place) for index in transparency(scene) if index not in indexes]
    return values, np.stack(masks) if masks else None


def _dataset(path: Path, bands: Sequence[str] | None) -> tuple[str | Path, bool]:
    """Return what GDAL opens, and whether that is on the web: the path, or a stack of the files that it stands for."""
    if isinstance(path, WebPath) and path.suffix.lower() in (*ARCHIVES, ".safe"):
        raise UserError(f"{path}: folders and archives are read from this machine alone: give a file or a STAC item")
    if (layers := _layers(path, bands)) is not None:
        return stack(layers), any(isinstance(layer.path, WebPath) for layer in layers)
    if isinstance(path, WebPath):
        return path, True
    return _local(path), False


def _layers(path: Path, bands: Sequence[str] | None) -> list[Layer] | None:
    """Return the bands of a product; None for any other path."""
    if is_safe(path):
        return safe_layers(path, bands)
    if is_landsat(path):
        return landsat_layers(path, bands)
    return stac_layers(path, bands) if is_stac(path) else None


def _local(path: Path) -> str | Path:
    """Return what GDAL opens of a path on this machine."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder: give one GeoTIFF")
    if inside := subdataset(path):
        return inside[0]
    if not path.is_file():
        raise UserError(f"{path}: no such file: check the path")
    if path.suffix.lower() in ARCHIVES:
        raise UserError(f"{path}: is an archive: unpack it, and give what is in it")
    if path.name.startswith("MTD_MSIL") and path.suffix.lower() == ".xml":
        raise UserError(f"{path}: holds the metadata of a product: give its folder, {path.parent}")
    return path


def _masks(scene: DatasetReader, indexes: Sequence[int]) -> list[int]:
    """Return the bands whose masks add information: neither a nodata value nor transparency; one if they share it."""
    silent = [[MaskFlags.all_valid], [MaskFlags.nodata]]
    if scene.dtypes[indexes[0] - 1] in ("int64", "uint64"):
        silent = silent[:1]  # rasterio gives their nodata value as a float, which cannot hold all of them
    all_flags = scene.mask_flag_enums
    flags = {index: all_flags[index - 1] for index in indexes}
    own = [index for index in indexes if flags[index] not in silent and MaskFlags.alpha not in flags[index]]
    return own[:1] if own and MaskFlags.per_dataset in flags[own[0]] else own


def transparency(scene: DatasetReader) -> list[int]:
    """Return the bands that say how transparent a pixel is."""
    colours = scene.colorinterp
    return [index for index in scene.indexes if colours[index - 1] == ColorInterp.alpha]


def _fault(scene: DatasetReader, indexes: Sequence[int]) -> str | None:
    """Return what keeps the bands from being a scene, with the cure."""
    types, nodata, colours = zip(
        *((scene.dtypes[i - 1], scene.nodatavals[i - 1], scene.colorinterp[i - 1]) for i in indexes), strict=True
    )
    if len(set(types)) > 1:
        return f"its bands have several types ({', '.join(types)}): choose some (--bands), or convert them to one first"
    if "complex" in types[0]:
        return "holds complex numbers: convert it to real bands first"
    if ColorInterp.palette in colours:
        return "holds palette numbers, not measured values: convert it first (gdal_translate -expand rgb)"
    if len(set(map(str, nodata))) > 1:
        return (
            f"its bands have different nodata values {nodata}, and a GeoTIFF holds one: choose some (--bands), or "
            "give it one first"
        )
    return None
