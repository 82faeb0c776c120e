"""A finished GeoTIFF without a grid as a PNG picture: a picture in, a picture out."""

import logging
import warnings
from pathlib import Path

import rasterio
import rasterio.shutil
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader

from declouds.errors import UserError
from declouds.image_io import orientation, with_orientation
from declouds.scenes.rasters.writer import guarded

PICTURES = (".png", ".jpg", ".jpeg")  # what is read; a result is a PNG, since JPEG would change clear pixels too


def is_picture(path: Path) -> bool:
    """Return whether a scene is a PNG or JPEG without georeference, whose result is a PNG too."""
    if path.suffix.lower() not in PICTURES or not path.is_file():
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as file:
                return file.crs is None and file.transform.is_identity
    except rasterio.RasterioError:
        return True  # the fault is named when it is read


def check_picture(destination: Path, scene: DatasetReader) -> None:
    """Refuse to write a PNG that would lose what the scene has.

    Raises:
        UserError: the scene is georeferenced, or another type than a PNG.
    """
    cure = "let its name end in .tif"
    if scene.crs is not None or not scene.transform.is_identity or scene.gcps[0] or scene.rpcs:
        raise UserError(f"{destination}: a PNG has no CRS and no grid, and the scene has: {cure}")
    if scene.dtypes[0] not in ("uint8", "uint16") or scene.nodatavals[0] is not None:
        raise UserError(
            f"{destination}: a PNG holds uint8 or uint16 without nodata, and the scene {scene.dtypes[0]} with nodata "
            f"{scene.nodatavals[0]}: {cure}"
        )


def tell_orientation(source: Path, destination: Path, scene: DatasetReader) -> None:
    """Warn of an image that viewers turn: pixels stay as they are stored."""
    if (turn := orientation(scene)) != 1:
        log = logging.getLogger("declouds")
        carried = "carries the same" if destination.suffix.lower() == ".png" else "carries none, and is shown as stored"
        log.warning(
            "%s: its EXIF orientation (%d) turns it in viewers; pixels, and those of a mask, are taken as stored, and "
            "the result %s: where that matters, turn the pixels first (exiftran -a)",
            *(source, turn, carried),
        )


def write_picture(source: Path, destination: Path, turn: int = 1) -> None:
    """Copy a GeoTIFF to a PNG of an EXIF orientation, and compare the pixels of both; an existing file is replaced.

    Raises:
        UserError: it has more than 4 bands, or the disk refuses.
    """

    def copy() -> None:
        with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED="NO"):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            rasterio.shutil.copy(source, destination, driver="PNG")
            if turn != 1:
                destination.write_bytes(with_orientation(destination.read_bytes(), turn))
            with rasterio.open(source) as one, rasterio.open(destination) as other:
                if (one.read() != other.read()).any():
                    raise OSError("other pixels than were to be written")

    guarded(destination, copy)
