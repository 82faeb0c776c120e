"""A simulated scene as GeoTIFF files: cloudy, clear and cloud mask on one grid, to try a model without a download."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from declouds.errors import UserError
from declouds.image_io import write_whole
from declouds.simulation.clouds import add_clouds
from declouds.simulation.scene import clear_scene

BAND_NAMES = ("red", "green", "blue", "nir")
WHITE = {"uint8": 255.0, "uint16": 10000.0, "float32": 1.0}  # the sensor value of 1


class SimulatedScene(NamedTuple):
    """The files of a simulated scene."""

    cloudy: Path
    clear: Path
    mask: Path


def simulate_scene(
    path: str | os.PathLike[str],
    height: int = 1024,
    width: int = 1024,
    bands: int = 3,
    seed: int = 0,
    dtype: str = "uint8",
    nodata: float | None = None,
    cloud: str = "mixed",
) -> SimulatedScene:
    """Write a cloudy scene as ``path``, and beside it its clear twin ``*_clear.tif`` and cloud mask ``*_mask.tif``.

    The grid is that of Sentinel-2 (UTM 32N, 10 m). With ``nodata`` the picture lies askew, as a Landsat scene does, and
    its corners hold that value; no other pixel does. The same arguments give the same pixels.

    Units: uint8 0 to 255, uint16 0 to 10000 (reflectance), float32 0 to 1.

    Raises:
        UserError: a file exists already, or bands or type are not among those above.
    """
    path = Path(path)
    files = SimulatedScene(path, path.with_name(f"{path.stem}_clear.tif"), path.with_name(f"{path.stem}_mask.tif"))
    _check(files, height, width, bands, dtype, nodata)
    rng = np.random.default_rng([seed, height, width, bands])
    clear = clear_scene(rng, height, width, bands)
    cloudy, mask = add_clouds(clear, rng, cloud)
    outside = None if nodata is None else _corners(height, width)
    tags = {"simulated": f"seed {seed}, {cloud} clouds"}
    for file, image in ((files.cloudy, cloudy), (files.clear, clear)):
        write_whole(file, _geotiff(_as_sensor(image, dtype, nodata, outside), BAND_NAMES[:bands], nodata, tags))
    write_whole(files.mask, _geotiff(mask[None].astype(np.uint8), ("cloud",), None, tags))
    return files


def _check(files: SimulatedScene, height: int, width: int, bands: int, dtype: str, nodata: float | None) -> None:
    for file in files:
        if file.suffix.lower() not in (".tif", ".tiff"):
            raise UserError(f"{file}: a scene is written as GeoTIFF: call it .tif")
        if file.exists():
            raise UserError(f"{file} exists already: choose another name, or remove it")
        if not file.parent.is_dir():
            raise UserError(f"{file}: the folder {file.parent} does not exist: create it first")
    if min(height, width) < 1 or bands not in (3, 4):
        raise UserError(f"a simulated scene has 3 or 4 bands and at least 1x1 pixels; got {bands} of {height}x{width}")
    if dtype not in WHITE:
        raise UserError(f"dtype={dtype!r}: a simulated scene is {', '.join(WHITE)}")
    if nodata is not None and dtype != "float32" and not 0 <= nodata <= np.iinfo(dtype).max:
        raise UserError(f"nodata={nodata}: {dtype} cannot hold it")


def _as_sensor(image: np.ndarray, dtype: str, nodata: float | None, outside: np.ndarray | None) -> np.ndarray:
    """Convert [0, 1] to sensor values; where a picture's value is nodata by chance, it moves by one step."""
    white = WHITE[dtype]
    values = (image * white if dtype == "float32" else np.rint(image * white)).astype(dtype)
    if nodata is not None and outside is not None:
        step = 1e-6 if dtype == "float32" else 1
        values[values == nodata] = nodata + step if nodata < white else nodata - step
        values[:, outside] = nodata
    return values


def _corners(height: int, width: int, askew: float = 0.14) -> np.ndarray:
    """Return True outside of a rectangle that lies askew (radians) in the image."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    down, right = rows / max(height - 1, 1) * 2 - 1, columns / max(width - 1, 1) * 2 - 1
    turned = np.abs(right * np.cos(askew) - down * np.sin(askew)), np.abs(down * np.cos(askew) + right * np.sin(askew))
    return np.maximum(*turned) > 1


def _geotiff(image: np.ndarray, names: tuple[str, ...], nodata: float | None, tags: dict[str, str]) -> bytes:
    count, height, width = image.shape
    profile: dict[str, Any] = {"tiled": True, "blockxsize": 256, "blockysize": 256} if min(height, width) >= 256 else {}
    with rasterio.Env(GDAL_PAM_ENABLED="NO"), MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=count,
            height=height,
            width=width,
            dtype=image.dtype.name,
            crs="EPSG:32632",
            transform=Affine(10, 0, 600000, 0, -10, 5400000),
            nodata=nodata,
            compress="deflate",
            **profile,
        ) as file:
            file.write(image)
            file.descriptions = names
            if count >= 3:
                colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
                file.colorinterp = (colours + [ColorInterp.undefined] * count)[:count]
            file.update_tags(**tags)
        return bytes(memory.getbuffer())
