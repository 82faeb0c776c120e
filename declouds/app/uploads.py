"""Files that a browser has sent: only images of a few formats are taken, by their contents and under plain names."""

import os
import re
import warnings
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from declouds.errors import UserError

DRIVERS = {"GTiff": ".tif", "JP2OpenJPEG": ".jp2", "PNG": ".png", "JPEG": ".jpg"}  # GDAL's name -> suffix
MOST_VALUES = 2 * 10**9  # pixels times bands: 13 bands of a whole tile of Sentinel-2 are 1.6 billion
LONGEST_NAME = 80  # letters, without the suffix


def accepted(upload: Path, uploads: Path, folder: Path) -> Path:
    """Give an uploaded image a plain name in a folder of its own, where no file lies that GDAL could take for its own.

    GDAL chooses the format by what a file holds. One that names other files, such as a VRT, would make it read those,
    and a file can be a JPEG and a VRT at once. So only one that is opened as an image of these formats is taken.

    Args:
        upload: the file.
        uploads: the folder that uploads are in.
        folder: where it goes, as a further name of the same file; it is made.

    Returns:
        Its path, with the suffix of its format.

    Raises:
        UserError: it is not in ``uploads``; it is no GeoTIFF, JPEG 2000, PNG or JPEG; or it says that it is larger than
            a page is for.
    """
    name = plain_name(upload.name)
    if not upload.resolve().is_relative_to(uploads.resolve()) or not upload.is_file():
        raise UserError(f"{name}: is not there any more: drop it on the page again")
    folder.mkdir()
    inside = folder / "upload"
    os.link(upload, inside)
    driver, values = _format(inside, name)
    if values > MOST_VALUES:
        raise UserError(
            f"{name}: has {values:,} values, and the page takes {MOST_VALUES:,} at most: clear it with declouds predict"
        )
    return inside.rename(folder / f"{Path(name).stem}{DRIVERS[driver]}")


def plain_name(name: str) -> str:
    """Return a file's name with nothing that means something to a shell, a page or GDAL, and no leading dots."""
    plain = Path(re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip("."))
    return f"{plain.stem[:LONGEST_NAME]}{plain.suffix[:8]}" or "scene"


def _format(path: Path, name: str) -> tuple[str, int]:
    """Return the driver that opens a file, and how many values that says it has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        for driver in DRIVERS:
            try:
                with rasterio.open(path, driver=driver) as file:
                    values = file.count * file.height * file.width
                with rasterio.open(path) as file:  # as it will be opened: by the first of all drivers that takes it
                    if file.driver == driver:
                        return driver, values
            except RasterioError:
                continue
    raise UserError(f"{name}: is no GeoTIFF, JPEG 2000, PNG or JPEG: convert it first (gdal_translate)")
