"""Which bands of a product are red, green and blue, by what the product is."""

from pathlib import Path

from declouds.scenes.rasters.landsat import is_landsat, landsat_colours
from declouds.scenes.rasters.sentinel2 import is_safe
from declouds.scenes.rasters.stac import has_assets, is_stac

SENTINEL2 = ["B04", "B03", "B02"]


def colour_bands(path: Path) -> list[str] | None:
    """Return the names of the red, green and blue band of a product; None for any other scene.

    Raises:
        UserError: a STAC item cannot be read.
    """
    if is_safe(path):
        return SENTINEL2
    if is_landsat(path):
        return landsat_colours(path)
    if is_stac(path):
        return next((names for names in (["red", "green", "blue"], SENTINEL2) if has_assets(path, names)), None)
    return None
