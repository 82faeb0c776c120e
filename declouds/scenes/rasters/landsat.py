"""Landsat Collection 2 products as they are downloaded: a folder with a GeoTIFF for each band."""

import re
from collections.abc import Sequence
from pathlib import Path

from declouds.errors import UserError
from declouds.scenes.rasters.bands import plain_name
from declouds.scenes.rasters.stack import Layer

PRODUCT = r"L[COTEM]\d\d_L\w{3}_\d{6}_\d{8}_\d{8}_02_\w\d"  # what the names of its files begin with
BAND = rf"({PRODUCT})_((?:SR_|ST_)?B\d+)\.tif"
# Of surface reflectance, by the Landsat Collection 2 Level 2 Science Product Guide; the same in all bands and sensors.
SCALE, OFFSET, NODATA = 2.75e-5, -0.2, 0.0


def is_landsat(path: Path) -> bool:
    """Tell whether a path is the folder of one Landsat Collection 2 product."""
    return path.is_dir() and len({product for product, _, _ in _bands(path)}) == 1


def landsat_layers(folder: Path, bands: Sequence[str] | None) -> list[Layer]:
    """Return where the bands of a product lie, and what their values mean.

    Surface reflectance (level 2, SR_B1, ...) is stored value * 2.75e-5 - 0.2. Bands of level 1 and of temperature have
    the scale and offset of their files, which say none. Stored 0 is nodata.

    Args:
        folder: the product.
        bands: such as SR_B4, or B4 for short.

    Raises:
        UserError: no bands are given, or one is not in the product.
    """
    files = {name: path for _, name, path in _bands(folder)}
    listing = ", ".join(files)
    if not bands:
        raise UserError(f"{folder}: choose bands of it, such as --bands {','.join(list(files)[:3])}; it has {listing}")
    known = {plain_name(name): (name, files[full]) for full in files for name in (full, full.removeprefix("SR_"))}
    layers = []
    for band in bands:
        if plain_name(band) not in known:
            raise UserError(f"{folder}: {band!r} is not one of its bands: choose among {listing}")
        name, path = known[plain_name(band)]
        layers.append(Layer(path, name, None, **units_of(path)))
    return layers


def units_of(path: Path) -> dict[str, float]:
    """Return scale, offset and nodata of a band, as far as the name of its file tells them."""
    band = re.match(BAND, path.name, re.IGNORECASE)
    if band is None:
        return {}
    return dict(nodata=NODATA) | (dict(scale=SCALE, offset=OFFSET) if band[2].upper().startswith("SR_") else {})


def landsat_colours(folder: Path) -> list[str]:
    """Return the names of the red, green and blue band of a product, whose numbers changed with Landsat 8."""
    product, _, _ = _bands(folder)[0]
    level = "SR_" if any(name.startswith("SR_") for _, name, _ in _bands(folder)) else ""
    return [f"{level}B{number}" for number in ((4, 3, 2) if product[2:4] in ("08", "09") else (3, 2, 1))]


def _bands(folder: Path) -> list[tuple[str, str, Path]]:
    """Return product, name and file of each band in a folder, by name."""
    found = []
    for path in folder.iterdir():
        if match := re.fullmatch(BAND, path.name, re.IGNORECASE):
            found.append((match[1].upper(), match[2].upper(), path))
    return sorted(found, key=lambda band: (band[0], len(band[1]), band[1]))
